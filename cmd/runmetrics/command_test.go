package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/apexsalesai/runmetrics/query"
)

// commands are all that a person can call.
func commands(t *testing.T) []*cobra.Command {
	t.Helper()
	var list []*cobra.Command
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		list = append(list, c)
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(new(app).root())
	if len(list) < 8 {
		t.Fatalf("%d commands", len(list))
	}
	return list
}

func TestEveryCommandExplainsItself(t *testing.T) {
	t.Parallel()
	for _, c := range commands(t) {
		if c.Short == "" || c.Long == "" || c.Example == "" {
			t.Errorf("%s lacks a text or an example", c.CommandPath())
		}
		for line := range strings.SplitSeq(c.Long+"\n"+c.Example, "\n") {
			if len(line) > 130 {
				t.Errorf("%s: a line has %d characters: %s", c.CommandPath(), len(line), line)
			}
		}
		args := append(strings.Fields(c.CommandPath())[1:], "--help")
		r := call(t, nil, "", args...)
		r.want(t, exitOK)
		if !strings.Contains(r.stdout, c.Example) {
			t.Errorf("the help of %s does not show its examples", c.CommandPath())
		}
	}
}

// exampleCalls are the arguments of each call of the program in a text.
func exampleCalls(text string) [][]string {
	var calls [][]string
	for line := range strings.SplitSeq(text, "\n") {
		words := word.FindAllString(line, -1)
		for i := range words {
			words[i] = strings.Trim(words[i], `'"`)
		}
		for i, name := range words {
			if name != "runmetrics" {
				continue
			}
			args := words[i+1:]
			for j, arg := range args {
				if arg == "|" || arg == ">>" || arg == ">" {
					args = args[:j]
					break
				}
			}
			calls = append(calls, args)
			break
		}
	}
	return calls
}

func TestExamplesOfTheHelpParse(t *testing.T) {
	t.Parallel()
	for _, c := range commands(t) {
		calls := exampleCalls(c.Example)
		if len(calls) == 0 {
			t.Errorf("%s: no call in its examples", c.CommandPath())
		}
		for _, args := range calls {
			found, rest, err := new(app).root().Find(args)
			if err == nil {
				err = found.ParseFlags(rest)
			}
			if err == nil {
				err = found.ValidateArgs(found.Flags().Args())
			}
			if err != nil || !strings.HasPrefix(found.CommandPath(), c.CommandPath()) {
				t.Errorf("%s: %v: %v", c.CommandPath(), args, err)
			}
		}
	}
}

func TestUsageErrorsEndWithTwo(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"fly"}, {"keys"}, {"keys", "burn"}, {"run", "fast"}, {"--colour"}, {"setup", "--max-bytes", "big"}} {
		r := call(t, nil, "", args...)
		r.want(t, exitUsage)
		if !strings.HasPrefix(r.stderr, "runmetrics: ") || !strings.Contains(r.stderr, "--help") || r.stdout != "" {
			t.Errorf("%v: stdout %q, stderr %q", args, r.stdout, r.stderr)
		}
	}
}

func TestHelpListsEveryVariableWithItsDefault(t *testing.T) {
	t.Parallel()
	r := call(t, nil, "")
	r.want(t, exitOK)
	for _, line := range []string{"NATS_URL[_FILE]", "DATABASE_URL[_FILE]", "(127.0.0.1:4222)", "(RUN_EVENTS)", "API_KEYS_FILE ", "LOG_LEVEL"} {
		if !strings.Contains(r.stdout, line) {
			t.Errorf("the help does not say %q", line)
		}
	}
	for field := range fields() {
		if field.Tag.Get("env") == "" || field.Tag.Get("help") == "" {
			t.Errorf("%s has no name or no help", field.Name)
		}
	}
}

func TestKeysNewPrintsALineThatTheAPIReads(t *testing.T) {
	t.Parallel()
	r := call(t, nil, "", "keys", "new", "studio", "--scopes", "read,write")
	r.want(t, exitOK)
	if !strings.HasPrefix(r.stdout, "studio read,write ") || strings.Count(r.stdout, "\n") != 1 {
		t.Errorf("stdout %q", r.stdout)
	}
	if _, err := query.ParseKeys(strings.NewReader(r.stdout)); err != nil {
		t.Error(err)
	}
	_, token, _ := strings.Cut(r.stderr, "  studio.")
	token, _, _ = strings.Cut(token, "\n")
	if len(token) < 40 || strings.Contains(r.stdout, token) {
		t.Errorf("token %q", token)
	}
	for _, args := range [][]string{{"keys", "new"}, {"keys", "new", "a b"}, {"keys", "new", "a", "--scopes", "admin"}} {
		call(t, nil, "", args...).want(t, exitUsage)
	}
}
