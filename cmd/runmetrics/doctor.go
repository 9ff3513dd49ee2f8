package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
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
		Long: `doctor looks at everything that runmetrics needs and says what it sees, a line for each check: ok, warn (it works,
but not as it should, or not for long) or fail. Below it stands what to do, a command or a setting wherever there is one.
At its end it lists what is not well once more: failures first, and causes before what may follow from them. Begin at the
top. It goes on where something is missing, and gives each part half a minute at most.

  configuration  every variable, and whether "runmetrics run" would start with it
  disk           room in DATA_DIR and in the directory of temporary files
  database       reachable, TLS, pooled or direct, version, time limits, size, writable, rights, schema; a SQLite file is
                 read through; dead letters, and how far each stream is read
  nats           reachable, version, JetStream, limits of the account; of each stream the settings that lose events,
                 copies and room; the consumer of this deployment, rights, and which streams take what agents publish
  clock          this machine's against those of database and NATS
  dataverse      address, token, application user, rights, table, columns, what waits and what is refused; where
                 USE_DATAVERSE is true or DATAVERSE_URL is set
  http           who can reach HTTP_ADDR, keys, certificate and when they end, who answers there and how it is
  telemetry      whether the collector takes what is sent to it, where one is named

It changes nothing, but that opening a SQLite file brings its schema up to date. Which streams get events it finds out by
messages for runs of campaigns such as runmetrics-probe-0, which none of them stores; whether this user may read as run
does, by requests that the server answers with an error. Rights in the database are asked for, not tried. Of the rights in
Dataverse it tries only reading: the others cannot be told without a row. With --write it makes a row of the campaign
runmetrics-doctor as the service would, writes it again and deletes it; who watches the table sees it for a moment.

The JSON has all checks in their order, and under findings those that are not ok in the order of the list at the end.

Exit codes: 0 all is well, or there are warnings only; 1 something failed.`,
		Example: `  runmetrics doctor
  USE_DATAVERSE=true runmetrics doctor --write
  runmetrics doctor --env-file production.env --output json
  runmetrics doctor --output json | jq -r '.findings[0] | .finding, .fix'`,
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

// The parts that are checked, those before that may be the cause of what is wrong with others: a full disk stops a database,
// a clock that is wrong makes certificates invalid, and a service shows what is wrong with all that it needs.
const (
	areaConfiguration = "configuration"
	areaDisk          = "disk"
	areaClock         = "clock"
	areaDatabase      = "database"
	areaNATS          = "nats"
	areaDataverse     = "dataverse"
	areaHTTP          = "http"
	areaTelemetry     = "telemetry"
)

var areas = []string{areaConfiguration, areaDisk, areaClock, areaDatabase, areaNATS, areaDataverse, areaHTTP, areaTelemetry}

// checked is what one check found.
type checked struct {
	Verdict string `json:"verdict"` // ok, warn or fail
	Area    string `json:"area"`
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
	clocks []clockReading

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
	for _, examine := range []func(context.Context){d.examineDisk, d.examineDatabase, d.examineLetters,
		d.examineNATS, d.examineClocks,
		d.examineDataverse, d.examineHTTP, d.examineTelemetry} {
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
			d.fault(areaConfiguration, f)
		}
	case err != nil:
		d.fail(areaConfiguration, "environment", err.Error(), "")
	default:
		d.ok(areaConfiguration, "environment", "deployment "+d.cfg.Deployment+", no faults")
		d.examineStart()
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

// fault notes one of the configuration, which says what to do behind what is wrong.
func (d *doctor) fault(area string, f fault) {
	finding, fix, found := strings.Cut(f.problem, "; ")
	if !found {
		finding, fix, _ = strings.Cut(f.problem, ": ")
	}
	d.fail(area, f.variable, finding, fix)
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

// findings are the checks that are not ok: failures first, and what may be the cause of others before them.
func (d *doctor) findings() []checked {
	list := slices.DeleteFunc(slices.Clone(d.checks), func(c checked) bool { return c.Verdict == verdictOK })
	slices.SortStableFunc(list, func(x, y checked) int {
		return cmp.Or(cmp.Compare(x.Verdict, y.Verdict), // fail comes before warn
			cmp.Compare(slices.Index(areas, x.Area), slices.Index(areas, y.Area)))
	})
	return list
}

// conclude sums up. An error says that something failed.
func (d *doctor) conclude() error {
	found := d.findings()
	failed := 0
	for failed < len(found) && found[failed].Verdict == verdictFail {
		failed++
	}
	warned := len(found) - failed
	var err error
	if d.output == jsonOutput {
		err = writeJSON(d.app.stdout, struct {
			Checks   []checked `json:"checks"`
			Findings []checked `json:"findings"`
			Failed   int       `json:"failed"`
			Warnings int       `json:"warnings"`
		}{d.checks, found, failed, warned})
	} else {
		err = d.summarize(found, failed, warned)
	}
	if failed > 0 {
		return errors.Join(err, fmt.Errorf("%d of %d checks failed", failed, len(d.checks)))
	}
	return err
}

// summarize lists what is not well, for a person who has seen it pass by among much that is.
func (d *doctor) summarize(found []checked, failed, warned int) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%d checks: %d failed, %d warnings\n", len(d.checks), failed, warned)
	if len(found) > 1 {
		b.WriteString("Begin with the first: what stands below it may follow from it.\n")
	}
	for i, c := range found {
		fmt.Fprintf(&b, "\n%d. %s %s, %s: %s\n", i+1, c.Verdict, c.Area, printable(c.Subject), printable(c.Finding))
		if c.Fix != "" {
			fmt.Fprintf(&b, "   → %s\n", printable(c.Fix))
		}
	}
	_, err := io.WriteString(d.app.stdout, b.String())
	return err
}
