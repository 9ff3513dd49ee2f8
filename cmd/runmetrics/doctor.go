package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/apexsalesai/runmetrics/sinks"
)

// examineTime is how long one server may take over all its answers: a small database that sleeps needs some seconds.
const examineTime = 30 * time.Second

func (a *app) doctor() *cobra.Command {
	d := &doctor{app: a}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check everything and say what to do",
		Long: `doctor checks the configuration, the database with its dead letters, NATS with its streams and this deployment's
consumers, and the copy in Dataverse: address, token, application user, rights, table, columns and what they hold, what
waits and what is refused. Each check is a line that begins with ok, warn or fail, and says what to do below it. It goes
on where something is missing. Dataverse is checked where USE_DATAVERSE is true or DATAVERSE_URL is set.

It changes nothing, but that opening a SQLite file brings its schema up to date. Which streams get events it finds out by
messages for runs of campaigns such as runmetrics-probe-0, which none of them stores; whether this user may read as run
does, by requests that the server answers with an error. Of the rights in Dataverse it tries only reading: the others
cannot be told without a row. With --write it makes a row of the campaign runmetrics-doctor as the service would, writes
it again and deletes it; who watches the table sees it for a moment.

Exit codes: 0 all is well, or there are warnings only; 1 something failed.`,
		Example: `  runmetrics doctor
  USE_DATAVERSE=true runmetrics doctor --write
  runmetrics doctor --env-file production.env --output json`,
		Args: cobra.NoArgs,
		RunE: a.enter(d.run),
	}
	cmd.Flags().BoolVar(&d.write, "write", false, "try the rights to write and delete in Dataverse, with a row of its own")
	outputFlag(cmd, &d.output)
	return cmd
}

// Verdicts of a check.
const (
	verdictOK   = "ok"
	verdictWarn = "warn" // it works, but not as it should, or not for long
	verdictFail = "fail"
)

// checked is what one check found.
type checked struct {
	Verdict string `json:"verdict"` // ok, warn or fail
	Area    string `json:"area"`    // configuration, database, nats or dataverse
	Subject string `json:"subject"` // what of it
	Finding string `json:"finding"`
	Fix     string `json:"fix,omitempty"` // what to do; empty where the finding says it
}

// doctor is one run of the command.
type doctor struct {
	app    *app
	write  bool
	output outputFormat

	cfg    *Config
	log    *slog.Logger
	checks []checked

	refusals refusals
	store    sinks.Store     // nil where the database cannot be read
	database *sinks.Identity // nil where it is not known
}

func (d *doctor) run(ctx context.Context, _ []string) (err error) {
	if !d.configuration() {
		return d.conclude()
	}
	defer func() {
		if d.store != nil {
			err = errors.Join(err, d.store.Close())
		}
	}()
	for _, examine := range []func(context.Context){d.examineDatabase, d.examineLetters, d.examineNATS, d.examineDataverse} {
		limited, cancel := context.WithTimeout(ctx, examineTime)
		examine(limited)
		cancel()
		if ctx.Err() != nil {
			return errors.New("interrupted: not everything was checked")
		}
	}
	return d.conclude()
}

// configuration reads it, and tells whether there is enough of it to go on.
func (d *doctor) configuration() bool {
	var err error
	d.cfg, d.log, err = d.app.open()
	var faulty *configError
	switch {
	case errors.As(err, &faulty):
		for _, f := range faulty.faults {
			d.add(checked{verdictFail, "configuration", f.variable, f.problem, ""})
		}
	case err != nil:
		d.add(checked{verdictFail, "configuration", "environment", err.Error(), ""})
	default:
		d.ok("configuration", "environment", "deployment "+d.cfg.Deployment+", no faults")
	}
	return err == nil
}

func (d *doctor) ok(area, subject, finding string) {
	d.add(checked{verdictOK, area, subject, finding, ""})
}

func (d *doctor) warn(area, subject, finding, fix string) {
	d.add(checked{verdictWarn, area, subject, finding, fix})
}

func (d *doctor) fail(area, subject, finding, fix string) {
	d.add(checked{verdictFail, area, subject, finding, fix})
}

// add notes what a check found, and shows it to a person at once.
func (d *doctor) add(c checked) {
	d.checks = append(d.checks, c)
	if d.output == jsonOutput {
		return
	}
	fmt.Fprintf(d.app.stdout, "%-5s %-13s %-24s %s\n", c.Verdict, c.Area, printable(c.Subject), printable(c.Finding))
	if c.Fix != "" {
		fmt.Fprintf(d.app.stdout, "%-44s → %s\n", "", printable(c.Fix))
	}
}

// count is how many checks have a verdict.
func (d *doctor) count(verdict string) int {
	n := 0
	for _, c := range d.checks {
		if c.Verdict == verdict {
			n++
		}
	}
	return n
}

// conclude sums up. An error says that something failed.
func (d *doctor) conclude() error {
	failed, warned := d.count(verdictFail), d.count(verdictWarn)
	var err error
	if d.output == jsonOutput {
		err = writeJSON(d.app.stdout, struct {
			Checks   []checked `json:"checks"`
			Failed   int       `json:"failed"`
			Warnings int       `json:"warnings"`
		}{d.checks, failed, warned})
	} else {
		_, err = fmt.Fprintf(d.app.stdout, "\n%d checks: %d failed, %d warnings\n", len(d.checks), failed, warned)
	}
	if failed > 0 {
		return errors.Join(err, fmt.Errorf("%d of %d checks failed", failed, len(d.checks)))
	}
	return err
}
