package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/dataverse"
)

func (a *app) dataverse() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dataverse",
		Short: "Look at the copy in Microsoft Dataverse",
		Long: `dataverse looks at the copy of the metrics in the table DATAVERSE_TABLE of the organization at DATAVERSE_URL.

The service keeps the copy while USE_DATAVERSE is true; the table is made by "runmetrics setup", and "runmetrics doctor"
says what keeps it from working.`,
		Example: `  runmetrics dataverse test
  runmetrics dataverse recent --limit 10
  runmetrics dataverse reconcile`,
		Args: cobra.NoArgs,
		RunE: needsSubcommand,
	}
	cmd.AddCommand(a.dataverseRecent(), a.dataverseTest(), a.dataverseReconcile())
	return cmd
}

// openExisting opens the store that the service writes. Where there is none that is an error: opening it would make an empty
// one, with which no row agrees.
func openExisting(ctx context.Context, cfg *Config, log *slog.Logger) (sinks.Store, error) {
	if !cfg.DatabaseURL.IsSet() {
		if plan, err := planSQLite(cfg); err != nil || plan.Created {
			return nil, errors.Join(fmt.Errorf("there is no store at %s: set DATA_DIR or DATABASE_URL", sqlitePath(cfg)), err)
		}
	}
	return openStore(ctx, cfg, log)
}

// readTable reads the table's definition, and says what to do where nobody answers.
func readTable(ctx context.Context, client *dataverse.Client, name string) (*dataverse.Table, error) {
	table, err := client.Table(ctx, name)
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return nil, errors.New("interrupted before anything was looked at")
	}
	if _, throttled := dataverse.Throttled(err); errors.Is(err, sinks.ErrUnavailable) && !throttled {
		return nil, fmt.Errorf("%w; `runmetrics doctor` checks DATAVERSE_URL, DATAVERSE_AUTHORITY and the way there", err)
	}
	return table, err
}
