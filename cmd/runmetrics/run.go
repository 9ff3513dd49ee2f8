package main

import (
	"context"

	"github.com/spf13/cobra"
)

func (a *app) service() *cobra.Command {
	how := serving{sync: SyncAlways}
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the service",
		Long: `run reads the streams, commits metrics and answers queries at HTTP_ADDR, until it gets SIGTERM or Ctrl-C; then it
commits what it has, within ten seconds.

Without NATS_URL it starts a NATS server in this process, with its files in DATA_DIR; without DATABASE_URL it keeps
metrics in SQLite there. What is embedded sets itself up; outside servers are set up by "runmetrics setup".

A database or a NATS server that is away is waited for: /readyz says so. Any number of replicas may run on the same
servers: they share the streams, one reads each, the others stand by; all answer queries.`,
		Example: `  runmetrics run
  NATS_URL=nats://nats:4222 DATABASE_URL=postgres://user@host/metrics runmetrics run
  HTTP_ADDR=0.0.0.0:8080 API_KEYS_FILE=api-keys runmetrics run`,
		Args: cobra.NoArgs,
		RunE: a.enter(func(ctx context.Context, _ []string) error {
			cfg, log, err := a.open(how.check)
			if err != nil {
				return err
			}
			s, err := openService(ctx, cfg, how, log)
			if err != nil {
				return err
			}
			defer s.close()
			return s.run(ctx)
		}),
	}
	insecureFlag(cmd, &how)
	return cmd
}

func insecureFlag(cmd *cobra.Command, how *serving) {
	cmd.Flags().BoolVar(&how.insecure, "insecure", false, "listen where other machines reach it, without keys or users")
}
