package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// secretShapes are what real secrets look like. Of a shape with a group only what the group holds is the secret. Each is tried
// with made, which is put together here so that no file has it.
var secretShapes = []struct {
	name  string
	shape *regexp.Regexp
	made  []string
}{
	{"private key", regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----`), []string{"-----BEGIN ", "PRIVATE KEY-----"}},
	{"nkey seed", regexp.MustCompile(`\bS[UAONCXP][A-Z2-7]{56}\b`), []string{"SU", strings.Repeat("A7", 28)}},
	{"JSON Web Token", regexp.MustCompile(`\beyJ[\w-]{10,}\.eyJ[\w-]{5,}\.[\w-]*`), []string{"eyJhbGciOiJIUzI1", "NiJ9.eyJzdWIiOiIx", "In0.c2lnbmF0dXJl"}},
	{"API key of runmetrics", regexp.MustCompile(`\.[A-Za-z0-9_-]{43}\b`), []string{"studio.", strings.Repeat("aB3", 14), "x"}},
	{"password in a URL", regexp.MustCompile(`://[^\s:/@'"` + "`" + `]*:([^\s@/'"` + "`" + `]+)@`), []string{"postgres://u", ":Tr0ub4dor@", "h/db"}},
	{"password of Neon", regexp.MustCompile(`\bnpg_[A-Za-z0-9]{10,}\b`), []string{"npg", "_a1B2c3D4e5F6"}},
	{"client secret of Entra", regexp.MustCompile(`[\w~.-]{3}8Q~[\w~.-]{31,34}`), []string{"abc", "8Q~", strings.Repeat("x", 34)}},
	{"connection string of Azure", regexp.MustCompile(`(?i)\b(?:InstrumentationKey|AccountKey|SharedAccessKey)=([^\s;'"]{20,})`),
		[]string{"InstrumentationKey", "=12345678-90ab-cdef-1234-567890abcdef"}},
	{"key of a service", regexp.MustCompile(`\b(?:gh[pousr]_[A-Za-z0-9]{36}|AKIA[0-9A-Z]{16}|xox[abprs]-[\w-]{10,}|AIza[\w-]{35}|sk-[\w-]{20,})`),
		[]string{"ghp", "_", strings.Repeat("a", 36)}},
	{"password in a setting", regexp.MustCompile(`(?m)^[ \t#-]*(?:export )?[A-Za-z_]*(?i:password|secret|token)['"]?[ \t]*[:=][ \t]*['"]?([^\s'",;]+)`),
		[]string{"POSTGRES_PASSWORD", ": Tr0ub4dor"}},
}

// harmlessSecrets are placeholders, and what tests use: none of them opens anything.
var harmlessSecrets = regexp.MustCompile(`^(?:` + strings.Join([]string{
	`password|word|pw|p|p%20w|secret`, // as in user:password@host, and short ones that tests of the parsers use
	`(?:%zz)?hunter2`,                 // what tests look for in all that is printed
	`[$<(%{/].*|lambda|true|false`,    // a variable, a placeholder, a call, a file, no text
	`0{8}-0{4}-0{4}-0{4}-0{12}`,       // an id of nothing
}, "|") + `)$`)

// wouldLeak returns the secrets in a text that are no placeholders, with the names of their shapes. Code is not looked
// through for settings: there a word behind a colon is a type or a value of its own.
func wouldLeak(text string, code bool) (found []string) {
	for _, s := range secretShapes {
		if code && s.name == "password in a setting" {
			continue
		}
		for _, match := range s.shape.FindAllStringSubmatch(text, -1) {
			if secret := match[len(match)-1]; !harmlessSecrets.MatchString(secret) {
				found = append(found, s.name+": "+secret)
			}
		}
	}
	return found
}

// TestNoFileHoldsASecret looks through all files that are, or could be, checked in.
func TestNoFileHoldsASecret(t *testing.T) {
	if testing.Short() {
		t.Skip("reads every file of the repository")
	}
	t.Parallel()
	for _, s := range secretShapes {
		if found := wouldLeak(strings.Join(s.made, ""), false); len(found) != 1 || !strings.HasPrefix(found[0], s.name) {
			t.Errorf("%s: %q is taken for %q", s.name, s.made, found)
		}
	}
	list, err := exec.CommandContext(t.Context(), "git", "-C", "../..", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		missing(t, "no git, or no repository: "+err.Error())
	}
	files := strings.Split(strings.TrimRight(string(list), "\x00"), "\x00")
	if len(files) < 500 {
		t.Fatalf("only %d files", len(files))
	}
	codes := []string{".go", ".ts", ".tsx", ".js", ".mjs", ".py", ".json", ".css", ".html"}
	for _, name := range files {
		text, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil { // it was deleted, or is a directory of its own
			continue
		}
		for _, secret := range wouldLeak(string(text), slices.Contains(codes, filepath.Ext(name))) {
			t.Errorf("%s holds a %s", name, secret)
		}
	}
}
