package main

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/spf13/cobra"

	"github.com/apexsalesai/runmetrics/query"
	"github.com/apexsalesai/runmetrics/sinks/dataverse/emulator"
)

// emulating is one run of the command.
type emulating struct {
	app      *app
	listen   string
	dir      string
	client   string
	empty    bool
	noLimits bool
	insecure bool
}

func (a *app) dataverseEmulator() *cobra.Command {
	e := &emulating{app: a}
	cmd := &cobra.Command{
		Use:   "dataverse-emulator",
		Short: "Serve a Dataverse organization for tests and trials",
		Long: `dataverse-emulator serves the part of Microsoft Dataverse's Web API that clients of tables use, with its limits and
errors, and the token endpoint: WhoAmI, rows with query options and paging, CreateMultiple, UpdateMultiple,
UpsertMultiple, $batch, EntityDefinitions. It starts with the table of Campaign Metrics. What it does not know it
answers with 501.

It accepts any tenant and the client that --client names, whose secret is DATAVERSE_CLIENT_SECRET or else "emulator".
Rows are kept in memory, or with --data on disk. Faults on demand: POST /emulator/faults, as the examples show.`,
		Example: `  runmetrics dataverse-emulator
  runmetrics dataverse-emulator --data ./dataverse --empty
  curl -s http://127.0.0.1:8900/emulator/faults -d '{"kind":"throttle","times":3,"retryAfter":"5s"}'
  curl -s http://127.0.0.1:8900/emulator/stats`,
		Args: cobra.NoArgs,
		RunE: a.enter(e.run),
	}
	flags := cmd.Flags()
	flags.StringVar(&e.listen, "listen", emulatorListen, "`host:port` to listen on")
	flags.StringVar(&e.dir, "data", "", "keep rows and definitions in this `directory`")
	flags.StringVar(&e.client, "client", emulatorClient, "`id` of the one client that gets tokens")
	flags.BoolVar(&e.empty, "empty", false, "start without the table of Campaign Metrics")
	flags.BoolVar(&e.noLimits, "no-limits", false, "without service protection limits")
	flags.BoolVar(&e.insecure, "insecure", false, "listen where other machines reach it, with a secret that is no secret")
	return cmd
}

func (e *emulating) run(ctx context.Context, _ []string) error {
	cfg, log, err := e.app.open()
	if err != nil {
		return err
	}
	if _, _, err := net.SplitHostPort(e.listen); err != nil {
		return usageError{fmt.Errorf("--listen %q is not host:port; write it like %s", e.listen, emulatorListen)}
	}
	secret := emulatorSecret
	if cfg.DataverseClientSecret.IsSet() {
		secret = cfg.DataverseClientSecret.Reveal()
	}
	if !query.IsLoopback(e.listen) && !e.insecure && !cfg.DataverseClientSecret.IsSet() {
		return usageError{fmt.Errorf("--listen %s can be reached from other machines, where everybody knows the secret: "+
			"use a loopback address, set DATAVERSE_CLIENT_SECRET, or give --insecure", e.listen)}
	}
	if e.dir != "" {
		lock, err := lockDir(e.dir, "--data")
		if err != nil {
			return err
		}
		defer lock.Release()
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", e.listen)
	if err != nil {
		return fmt.Errorf("open the emulator: %w; give --listen a free address", err)
	}
	c := emulator.Config{ClientID: e.client, ClientSecret: secret, Dir: e.dir, Empty: e.empty, Limits: emulator.DefaultLimits(), Log: log}
	if e.noLimits {
		c.Limits = emulator.Limits{}
	}
	organization, err := emulator.New(c)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	d := &emulatedDataverse{emulator: organization, listener: listener}
	e.welcome(d.url(), cfg.DataverseClientSecret.IsSet())
	return errors.Join(d.serve(ctx), d.close())
}

// welcome says how to reach it, in lines for a shell. A secret that somebody set stays where it is.
func (e *emulating) welcome(url string, ownSecret bool) {
	secret, table := emulatorSecret, ""
	if ownSecret {
		secret = `"$DATAVERSE_CLIENT_SECRET"`
	}
	if e.empty {
		table = "  runmetrics setup   # makes the table, if there is none yet\n"
	}
	fmt.Fprintf(e.app.stdout, `The Dataverse emulator is up; Ctrl-C stops it. For runmetrics:

  export USE_DATAVERSE=true DATAVERSE_URL=%[1]s DATAVERSE_AUTHORITY=%[1]s
  export DATAVERSE_TENANT_ID=%[2]s DATAVERSE_CLIENT_ID=%[3]s DATAVERSE_CLIENT_SECRET=%[4]s
%[5]s
By hand:

  token=$(curl -s %[1]s/%[2]s/oauth2/v2.0/token -d grant_type=client_credentials -d client_id=%[3]s \
    --data-urlencode client_secret=%[4]s -d scope=%[1]s/.default | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
  curl -s -H "Authorization: Bearer $token" '%[1]s/api/data/v9.2/apex_campaignmetrics?$top=3'

`, url, emulatorTenant, e.client, secret, table)
}
