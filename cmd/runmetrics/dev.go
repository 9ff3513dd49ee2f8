package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/apexsalesai/runmetrics/sinks/dataverse"
)

// devSync is how often dev's broker syncs, as NATS does by default: what is lost with the power of the machine is sample data.
const devSync = SyncEvery(2 * time.Minute)

func (a *app) dev() *cobra.Command {
	how := serving{sync: devSync, emulate: true}
	var noAgents bool
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run everything embedded, with sample agents",
		Long: `dev starts a NATS server, a SQLite store and the API in this process, with their files in DATA_DIR, and sample agents
that publish over NATS as real ones do, and an emulator of Dataverse that gets the copy (USE_DATAVERSE=false: without).
NATS_URL, DATABASE_URL and DATAVERSE_* are ignored: sample data must not reach real servers.`,
		Example: `  runmetrics dev
  runmetrics dev --no-agents
  DATA_DIR=/tmp/try HTTP_ADDR=127.0.0.1:0 runmetrics dev`,
		Args: cobra.NoArgs,
		RunE: a.enter(func(ctx context.Context, _ []string) error {
			cfg, log, err := a.open(embed, how.check)
			if err != nil {
				return err
			}
			s, err := openService(ctx, cfg, how, log)
			if err != nil {
				return err
			}
			defer s.close()
			s.welcome(a.stdout)
			if noAgents {
				return s.run(ctx)
			}
			agents := &sampleAgents{conn: s.conn, log: s.log.With("part", "sample agents")}
			return s.run(ctx, agents.Run)
		}),
	}
	cmd.Flags().BoolVar(&noAgents, "no-agents", false, "no sample agents: publish events yourself")
	insecureFlag(cmd, &how)
	return cmd
}

// embed makes the configuration one of embedded parts only.
func embed(cfg *Config, _ *faults) {
	cfg.NATSURL, cfg.DatabaseURL, cfg.DatabaseURLDirect = Secret{}, Secret{}, Secret{}
	if cfg.UseDataverse == nil {
		use := true
		cfg.UseDataverse = &use
	}
	cfg.DataverseTable = dataverse.DefaultTable // which the emulator has
}

// welcome says where everything is and what to try.
func (s *service) welcome(w io.Writer) {
	api := s.apiURL()
	fmt.Fprintf(w, `runmetrics is up; Ctrl-C stops it.

  panel      %[1]s
  API        %[1]s/api/metrics/campaign
  state      %[1]s/readyz
  OpenAPI    %[1]s/openapi.json, and %[1]s/asyncapi.json of what agents publish
  NATS       %[2]s, events go to runs.<campaign>.<run>
%[5]s  files      %[3]s

Try:

  curl -s '%[1]s/api/metrics/campaign?limit=3'
  curl -s '%[1]s/api/metrics/campaign?campaignId=%[4]s&limit=1'
  curl -s '%[1]s/api/metrics/campaign' -H 'Content-Type: application/json' -d '{"campaignId":"try","runId":"1","phase":"1",
    "agentsTotal":3,"agentsSuccessful":3,"assetsGenerated":8,"tokensIn":1000,"tokensOut":2000,"costUSD":0.002,
    "latencyP95Ms":45000,"latencyAvgMs":38000}'
  NATS_URL=%[2]s runmetrics publish --generate 1000
%[6]s
`, api, s.broker.URL(), s.cfg.DataDir, sampleCampaigns[0].id, s.dataverseLine(), s.tryDataverse())
}

// dataverseLine says where the emulated organization is, if there is one.
func (s *service) dataverseLine() string {
	if s.emulated == nil {
		return ""
	}
	return fmt.Sprintf("  Dataverse  %s, an emulator: client and secret are %s\n", s.emulated.url(), emulatorClient)
}

// tryDataverse is a command that looks at the copy, if there is one.
func (s *service) tryDataverse() string {
	if s.emulated == nil {
		return ""
	}
	return fmt.Sprintf(`  DATAVERSE_URL=%[1]s DATAVERSE_AUTHORITY=%[1]s DATAVERSE_TENANT_ID=%[2]s \
    DATAVERSE_CLIENT_ID=%[3]s DATAVERSE_CLIENT_SECRET=%[4]s runmetrics dataverse recent
`, s.emulated.url(), emulatorTenant, emulatorClient, emulatorSecret)
}
