package main

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/apexsalesai/runmetrics/query"
)

func (a *app) keys() *cobra.Command {
	keys := &cobra.Command{
		Use:     "keys",
		Short:   "Make API keys",
		Long:    `keys makes the keys that clients of the HTTP API show. The file API_KEYS_FILE holds their hashes only.`,
		Example: `  runmetrics keys new studio --scopes read`,
		Args:    cobra.NoArgs,
		RunE:    needsSubcommand,
	}
	keys.AddCommand(a.newKey())
	return keys
}

func (a *app) newKey() *cobra.Command {
	var scopes []string
	cmd := &cobra.Command{
		Use:   "new NAME",
		Short: "Make a key for a client",
		Long: `new makes a key. It prints the line for API_KEYS_FILE to stdout, and the token for the client to stderr.
The token is shown this once and stored nowhere: only its hash stands in the line.`,
		Example: `  runmetrics keys new studio --scopes read
  runmetrics keys new agents --scopes read,write >> api-keys`,
		Args: cobra.ExactArgs(1),
		RunE: a.enter(func(_ context.Context, args []string) error {
			line, token, err := query.NewKey(args[0], scopes, rand.Reader)
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
	return cmd
}
