package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/apexsalesai/runmetrics/query"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/postgres"
)

const (
	// testedPostgres is the oldest major version that the tests run with.
	testedPostgres = 15
	// shortStatement is how long a commit of many runs may take on a small database.
	shortStatement = 5 * time.Second
	// mostUsed is the part of a limited size that may be used before that is worth a word.
	mostUsed = 0.8
)

// postgresReady tells whether the database can be used and the schema is there. What needs a session asks past a pooler, as
// setup does.
func (d *doctor) postgresReady(ctx context.Context) bool {
	main, ok := d.inspect(ctx, "postgres", "DATABASE_URL", d.cfg.DatabaseURL)
	if !ok {
		return false
	}
	d.readClock("the database", main.Asked, main.Clock, main.Answered)
	direct := main
	if d.cfg.DatabaseURLDirect.IsSet() {
		if direct, ok = d.inspect(ctx, "direct", "DATABASE_URL_DIRECT", d.cfg.DatabaseURLDirect); !ok {
			return false
		}
		if direct.Instance != main.Instance {
			d.fail(areaDatabase, "direct", fmt.Sprintf("DATABASE_URL_DIRECT leads to another database than "+
				"DATABASE_URL: %s/%s, not %s/%s",
				direct.Address, direct.Database, main.Address, main.Database),
				"let it name the same database, past the pooler; setup would bring the schema of the wrong one up to date")
		}
	}
	d.examineTLS("DATABASE_URL", d.cfg.DatabaseURL, main)
	if d.cfg.DatabaseURLDirect.IsSet() {
		d.examineTLS("DATABASE_URL_DIRECT", d.cfg.DatabaseURLDirect, direct)
	}
	d.examinePooler(main, direct)
	d.examineServer(main)
	writable := d.examineWritable(main)
	return d.examineGrants(main) && d.examineSchema(ctx, direct) && writable
}

// inspect looks at the database that a variable names, and notes why it cannot be reached.
func (d *doctor) inspect(ctx context.Context, subject, variable string, address Secret) (postgres.Condition, bool) {
	found, err := postgres.Inspect(ctx, address.Reveal())
	if err != nil {
		finding, fix := unreachable(err, variable, address)
		d.fail(areaDatabase, subject, finding, fix)
		return found, false
	}
	return found, true
}

// examineTLS tells whether somebody between this machine and the server could read the password.
func (d *doctor) examineTLS(variable string, address Secret, c postgres.Condition) {
	u, err := url.Parse(address.Reveal())
	switch mode := modeOf(u); {
	case err != nil:
		return // it was connected to
	case query.IsLoopback(u.Host):
		d.ok(areaDatabase, "TLS", variable+" does not leave this machine")
	case c.Verified:
		d.ok(areaDatabase, "TLS", variable+" checks the certificate and the name of "+c.Address)
	default:
		d.warn(areaDatabase, "TLS", fmt.Sprintf("%s has %s: who stands between here and %s can take the "+
			"database's place and get the password",
			variable, mode, c.Address),
			fmt.Sprintf("write sslmode=verify-full into %s; where the authority is not a public one, as Neon's is, "+
				"sslrootcert=FILE with its certificate, too", variable))
	}
}

// modeOf is what a URL says of TLS, in its own words.
func modeOf(u *url.URL) string {
	if u == nil || u.Query().Get("sslmode") == "" {
		return "no sslmode, which means prefer"
	}
	return "sslmode=" + u.Query().Get("sslmode")
}

// examinePooler says which way goes through a pooler. Commits may; what setup does is not meant to.
func (d *doctor) examinePooler(main, direct postgres.Condition) {
	switch {
	case direct.Pooled && d.cfg.DatabaseURLDirect.IsSet():
		d.fail(areaDatabase, "pooler", "DATABASE_URL_DIRECT leads through a pooler at "+direct.Address+": "+
			"migrations must not",
			"set DATABASE_URL_DIRECT to the server itself; on Neon that is the host without "+strings.Trim(neonPooler, "."))
	case main.Pooled && !d.cfg.DatabaseURLDirect.IsSet():
		d.warn(areaDatabase, "pooler", "DATABASE_URL leads through a pooler at "+main.Address+", and setup would "+
			"take the same way",
			"set DATABASE_URL_DIRECT to the server itself, for setup; on Neon that is the host without "+
				strings.Trim(neonPooler, "."))
	case main.Pooled:
		d.ok(areaDatabase, "pooler", "commits go through the pooler at "+main.Address+", setup does not")
	default:
		d.ok(areaDatabase, "pooler", "none, commits go to the server at "+main.Address)
	}
}

// neonPooler is what Neon puts into the name of a pooled host.
const neonPooler = "-pooler."

// examineServer looks at the server's version and settings, and at what is left of its room.
func (d *doctor) examineServer(c postgres.Condition) {
	major, _, _ := strings.Cut(c.Version, ".")
	if n, err := strconv.Atoi(major); err == nil && n < testedPostgres {
		d.warn(areaDatabase, "version", fmt.Sprintf("Postgres %s; %d is the oldest that runmetrics is tried with",
			c.Version, testedPostgres),
			"upgrade the server")
	} else {
		d.ok(areaDatabase, "version", "Postgres "+c.Version)
	}
	if c.NoSync {
		d.warn(areaDatabase, "settings", "fsync is off: when the machine of the database dies, what was "+
			"committed may be gone or its files ruined",
			"set fsync = on in postgresql.conf, or `ALTER SYSTEM RESET fsync;`, then `SELECT pg_reload_conf();`")
	}
	if t := c.StatementTimeout; t > 0 && t < shortStatement {
		d.warn(areaDatabase, "settings", fmt.Sprintf("statement_timeout is %s: it cuts commits of many runs, "+
			"which are then sent again", t),
			fmt.Sprintf("`ALTER ROLE %s SET statement_timeout = '30s';`, and where that does not help take it "+
				"out of DATABASE_URL", sqlName(c.User)))
	}
	finding := fmt.Sprintf("the database has %s", bytesText(c.Size))
	switch {
	case c.SizeLimit > 0 && float64(c.Size) > mostUsed*float64(c.SizeLimit):
		d.warn(areaDatabase, "room", finding+" of "+bytesText(c.SizeLimit)+" that Neon allows this project",
			"raise the project's limit, or drop executions of runs that are over: runmetrics prune --before "+
				"DATE, then VACUUM FULL")
	case c.SizeLimit > 0:
		d.ok(areaDatabase, "room", finding+" of "+bytesText(c.SizeLimit))
	default:
		d.ok(areaDatabase, "room", finding+"; the room on its disk cannot be asked for")
	}
}

// examineWritable tells whether the server takes commits.
func (d *doctor) examineWritable(c postgres.Condition) bool {
	if c.Standby {
		d.fail(areaDatabase, "writes", c.Address+" is a standby, which takes none",
			"let DATABASE_URL lead to the primary, or promote this one: `SELECT pg_promote();`")
		return false
	}
	if c.ReadOnly {
		d.fail(areaDatabase, "writes", "transactions are read-only: default_transaction_read_only is on",
			fmt.Sprintf("as owner: `BEGIN READ WRITE; ALTER DATABASE %s RESET default_transaction_read_only; "+
				"ALTER ROLE %s RESET default_transaction_read_only; COMMIT;`; take it out of postgresql.conf or "+
				"the URL where it stands there",
				sqlName(c.Database), sqlName(c.User)))
		return false
	}
	d.ok(areaDatabase, "writes", "the server takes them")
	return true
}

// examineGrants tells whether the user may do with the tables what the service does.
func (d *doctor) examineGrants(c postgres.Condition) bool {
	switch {
	case c.Schema == "":
		return true // there are no tables yet
	case len(c.Missing) > 0:
		d.fail(areaDatabase, "rights", fmt.Sprintf("user %s of DATABASE_URL lacks rights on the tables in schema %s",
			c.User, c.Schema),
			"as their owner: `"+strings.Join(c.Missing, " ")+"`; deploy/postgres-roles.sql grants them to its roles")
		return false
	}
	d.ok(areaDatabase, "rights", fmt.Sprintf("user %s may read and write as runmetrics run does", c.User))
	return true
}

// examineSchema tells whether the schema is this program's.
func (d *doctor) examineSchema(ctx context.Context, c postgres.Condition) bool {
	plan, err := planPostgres(ctx, d.cfg)
	switch {
	case errors.Is(err, sinks.ErrSchema):
		d.fail(areaDatabase, "postgres", err.Error(), "run the version of runmetrics whose setup was run last, "+
			"or a later one; `runmetrics version` shows this one's")
		return false
	case err != nil:
		d.fail(areaDatabase, "postgres", err.Error(), databaseFix(err))
		return false
	case !plan.needed():
		return true
	}
	finding := "its schema is older than this program: it lacks " + strings.Join(plan.Differs, ", ")
	fix := "runmetrics setup brings it up to date"
	if !c.MayCreate && c.Schema == "" {
		finding += fmt.Sprintf("; and user %s may make no tables in schema %s", c.User, c.Home)
		fix = fmt.Sprintf("as owner of the database: `GRANT CREATE ON SCHEMA %s TO %s;`; then runmetrics setup "+
			"brings it up to date",
			sqlName(c.Home), sqlName(c.User))
	}
	d.fail(areaDatabase, "postgres", finding, fix)
	return false
}

// sqlName makes a name one of SQL.
func sqlName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
