package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/apexsalesai/runmetrics/query"
)

func (a *app) keys() *cobra.Command {
	keys := &cobra.Command{
		Use:   "keys",
		Short: "Make and look at API keys",
		Long: `keys makes the keys that clients of the HTTP API show. The file API_KEYS_FILE holds their hashes only, one key a line.

A running service reads the file again within five seconds when it changes. To rotate a key, add the line of a second one
for the same client under another id, give the client its token, and remove the old line when the log or
runmetrics_api_requests_total in /metrics no longer shows the old id.`,
		Example: `  runmetrics keys new studio --scopes read
  runmetrics keys list api-keys`,
		Args: cobra.NoArgs,
		RunE: needsSubcommand,
	}
	keys.AddCommand(a.newKey(), a.listKeys(), a.checkKey())
	return keys
}

func (a *app) newKey() *cobra.Command {
	var scopes []string
	var expires string
	cmd := &cobra.Command{
		Use:   "new NAME",
		Short: "Make a key for a client",
		Long: `new makes a key. It prints the line for API_KEYS_FILE to stdout, and the token for the client to stderr.
The token is shown this once and stored nowhere: only its hash stands in the line.`,
		Example: `  runmetrics keys new studio --scopes read
  runmetrics keys new agents --scopes read,write >> api-keys
  runmetrics keys new auditor --expires 2027-01-31 >> api-keys`,
		Args: cobra.ExactArgs(1),
		RunE: a.enter(func(_ context.Context, args []string) error {
			end, err := time.Parse(time.DateOnly, expires)
			if err != nil && expires != "" {
				return usageError{errors.New("--expires must be a date such as 2027-01-31")}
			}
			line, token, err := query.NewKey(args[0], scopes, end, rand.Reader)
			if err != nil {
				return usageError{err}
			}
			fmt.Fprintf(a.stderr, "Token of %s, shown only now:\n  %s\nClients send it as: Authorization: Bearer <token>\n"+
				"Line for API_KEYS_FILE, on stdout:\n", args[0], token)
			_, err = fmt.Fprintln(a.stdout, line)
			return err
		}),
	}
	cmd.Flags().StringSliceVar(&scopes, "scopes", []string{query.ScopeRead}, "what the key allows: read, write or both")
	cmd.Flags().StringVar(&expires, "expires", "", "the `date` from which on the key is refused, in UTC; unset: never")
	return cmd
}

// keysAt reads the file that is named, or else API_KEYS_FILE.
func (a *app) keysAt(args []string) (*query.Keys, error) {
	if len(args) == 0 {
		cfg, _, err := a.open()
		if err != nil {
			return nil, err
		}
		if args = []string{cfg.APIKeysFile}; args[0] == "" {
			return nil, usageError{errors.New("name a file, or set API_KEYS_FILE")}
		}
	}
	keys, err := readKeys(args[0])
	if err != nil {
		return nil, usageError{fmt.Errorf("file of keys %s: %w", args[0], err)}
	}
	return keys, nil
}

func (a *app) listKeys() *cobra.Command {
	return &cobra.Command{
		Use:   "list [FILE]",
		Short: "List the keys of a file",
		Long: `list prints the id, the scopes, the end and the comment of each key in a file, API_KEYS_FILE where none is named, and no
hash. A file with faults is refused with all of them; a service would go on with the keys that it had.`,
		Example: `  runmetrics keys list api-keys`,
		Args:    cobra.MaximumNArgs(1),
		RunE: a.enter(func(_ context.Context, args []string) error {
			keys, err := a.keysAt(args)
			if err != nil {
				return err
			}
			lines := [][]string{{"KEY", "SCOPES", "EXPIRES", "COMMENT"}}
			for _, key := range keys.List() {
				end := "never"
				if !key.Expires.IsZero() {
					end = key.Expires.Format(time.DateOnly)
				}
				lines = append(lines, []string{key.ID, strings.Join(key.Scopes, ","), end, printable(key.Comment)})
			}
			return writeColumns(a.stdout, lines)
		}),
	}
}

func (a *app) checkKey() *cobra.Command {
	return &cobra.Command{
		Use:   "check [FILE]",
		Short: "Tell which key of a file a token belongs to",
		Long: `check reads a token from stdin, so that it stands in no list of processes and no history, and says which key of a file,
API_KEYS_FILE where none is named, it belongs to. It ends with 1 if the service would refuse it.`,
		Example: `  runmetrics keys check api-keys`,
		Args:    cobra.MaximumNArgs(1),
		RunE: a.enter(func(_ context.Context, args []string) error {
			keys, err := a.keysAt(args)
			if err != nil {
				return err
			}
			token, _ := bufio.NewReader(a.stdin).ReadString('\n') // an error means no more than that the line has no end
			id, scopes, err := keys.Check(strings.TrimSpace(token), time.Now())
			if err != nil && id != "" {
				return fmt.Errorf("the token of %s is refused: %w", id, err)
			}
			if err != nil {
				return fmt.Errorf("the token is refused: %w", err)
			}
			_, err = fmt.Fprintf(a.stdout, "%s may %s\n", id, strings.Join(scopes, " and "))
			return err
		}),
	}
}
