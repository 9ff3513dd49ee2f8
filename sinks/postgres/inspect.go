package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Condition is what a database says of itself to the user of a URL, and how it was reached.
type Condition struct {
	Address  string // host and port
	Database string
	User     string // whom statements run as
	Version  string // of the server

	Verified bool // TLS, with the certificate and its name checked: sslmode=verify-full
	Pooled   bool // another program than the server answers, such as PgBouncer

	Standby  bool // it takes no writes before it is promoted
	ReadOnly bool // transactions are read-only unless they say otherwise
	NoSync   bool // fsync is off: what was committed may be gone, or the files ruined, when the machine dies

	StatementTimeout time.Duration // after which the server ends a statement; 0: never
	Size, SizeLimit  int64         // bytes; the limit is 0 where the server does not tell one
	Clock            time.Time     // of the server
	Asked, Answered  time.Time     // by the clock of this machine, before and after Clock was read

	// Instance is the same for two URLs that lead to one database, as long as its server is not restarted.
	Instance string
	// Schema is where the tables are, empty where there are none.
	Schema string
	// Home is the schema in which tables would be made, and MayCreate whether this user may make them.
	Home      string
	MayCreate bool
	// Missing are the statements that grant what the user lacks to read and write the tables as `runmetrics run` does.
	Missing []string
}

// Inspect connects once, past no pool, reads and writes nothing but its answer.
func Inspect(ctx context.Context, url string) (Condition, error) {
	config, err := parseConfig(url)
	if err != nil {
		return Condition{}, err
	}
	c := config.ConnConfig
	c.DefaultQueryExecMode = pgx.QueryExecModeExec // nothing is prepared, whatever is between
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return Condition{}, failed("look at database", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	found := Condition{Address: fmt.Sprintf("%s:%d", c.Host, c.Port), Database: c.Database, Verified: verified(config)}
	if err := found.ask(ctx, conn); err != nil {
		return found, failed("look at database", err)
	}
	if found.Schema != "" {
		err = found.askRights(ctx, conn)
	}
	return found, failed("look at rights", err)
}

// verified tells whether every way to connect checks who answers.
func verified(config *pgxpool.Config) bool {
	c := config.ConnConfig
	strict := c.TLSConfig != nil && !c.TLSConfig.InsecureSkipVerify
	for _, other := range c.Fallbacks {
		strict = strict && other.TLSConfig != nil && !other.TLSConfig.InsecureSkipVerify
	}
	return strict
}

// condition asks for all of it at once. A setting that only some servers have is null elsewhere.
const condition = `
SELECT current_user::text, current_setting('server_version'), pg_backend_pid(),
    pg_is_in_recovery(), current_setting('default_transaction_read_only')::boolean, NOT current_setting('fsync')::boolean,
    (SELECT CASE unit WHEN 'ms' THEN setting::bigint END FROM pg_settings WHERE name = 'statement_timeout'),
    pg_database_size(current_database()), coalesce(pg_size_bytes(nullif(current_setting('neon.max_cluster_size', true), '')), 0),
    clock_timestamp(), pg_postmaster_start_time()::text || ' ' || (SELECT oid FROM pg_database WHERE datname = current_database()),
    coalesce((SELECT nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE relname = '` + versionTable + `' AND relkind = 'r'
        ORDER BY (nspname = ANY (current_schemas(false))) DESC, nspname LIMIT 1), ''),
    coalesce(current_schema()::text, ''), coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)`

func (c *Condition) ask(ctx context.Context, conn *pgx.Conn) error {
	var backend uint32
	var milliseconds int64
	c.Asked = time.Now()
	err := conn.QueryRow(ctx, condition).Scan(&c.User, &c.Version, &backend, &c.Standby, &c.ReadOnly, &c.NoSync, &milliseconds,
		&c.Size, &c.SizeLimit, &c.Clock, &c.Instance, &c.Schema, &c.Home, &c.MayCreate)
	c.Answered = time.Now()
	if err != nil {
		return err
	}
	c.StatementTimeout = time.Duration(milliseconds) * time.Millisecond
	// A pooler hands out process ids of its own. Neon's proxy does, too, on the way to a host that is not pooled.
	host := conn.Config().Host
	c.Pooled = strings.Contains(host, poolerMark) || backend != conn.PgConn().PID() && !strings.HasSuffix(host, neonDomain)
	return nil
}

// neonDomain is where Neon's hosts are; whether one is pooled is in its name.
const neonDomain = ".neon.tech"

// serviceRights is what the service does with each table. More than that is needed by prune, void, rebuild and deadletters
// only.
var serviceRights = []struct {
	table  string
	rights []string
}{
	{versionTable, []string{"SELECT"}},
	{"ledger", []string{"SELECT"}},
	{"stream_positions", []string{"SELECT", "INSERT", "UPDATE"}},
	{"campaign_metrics", []string{"SELECT", "INSERT", "UPDATE"}},
	{"run_numbers", []string{"UPDATE"}},
	{"deleted_runs", []string{"SELECT"}},
	{"event_chunks", []string{"SELECT", "INSERT"}},
	{"voided_events", []string{"SELECT", "INSERT"}},
	{"dead_letters", []string{"SELECT", "INSERT"}},
	{"dead_letter_counts", []string{"SELECT", "INSERT", "UPDATE"}},
	{"dataverse_outbox", []string{"SELECT", "INSERT", "UPDATE"}},
	{"dataverse_targets", []string{"SELECT", "INSERT", "UPDATE"}},
}

// lacking names the rights on one table of the schema that the user has not. A table that a later migration makes is none.
const lacking = `
SELECT coalesce(array_agg(need ORDER BY at), '{}') FROM unnest($3::text[]) WITH ORDINALITY AS wanted(need, at)
WHERE NOT (SELECT has_table_privilege(c.oid, need) FROM pg_class c WHERE relnamespace = $1::regnamespace AND relname = $2)`

func (c *Condition) askRights(ctx context.Context, conn *pgx.Conn) error {
	schema, user := pgx.Identifier{c.Schema}.Sanitize(), pgx.Identifier{c.User}.Sanitize()
	var usable bool
	if err := conn.QueryRow(ctx, "SELECT has_schema_privilege($1::text, 'USAGE')", c.Schema).Scan(&usable); err != nil {
		return err
	}
	if !usable {
		c.Missing = append(c.Missing, fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO %s;", schema, user))
	}
	for _, of := range serviceRights {
		var missing []string
		if err := conn.QueryRow(ctx, lacking, schema, of.table, of.rights).Scan(&missing); err != nil {
			return err
		}
		if len(missing) > 0 {
			c.Missing = append(c.Missing, fmt.Sprintf("GRANT %s ON %s.%s TO %s;", strings.Join(missing, ", "), schema, of.table, user))
		}
	}
	return nil
}
