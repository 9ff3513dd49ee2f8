package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/postgres"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

const rolesFile = "../../deploy/postgres-roles.sql"

// ruled is a database with the roles of deploy/postgres-roles.sql. As on Neon, who gives it to them owns it, may make roles and
// is no superuser.
type ruled struct {
	*testing.T
	server  *sinktest.PostgresServer
	dsn     string // of the superuser, who has none of these roles
	broker  *broker
	environ map[string]string // of the processor
}

// TestPostgresRoles holds deploy/postgres-roles.sql to what it says, on one server.
func TestPostgresRoles(t *testing.T) {
	if testing.Short() {
		t.Skip("starts every command once as each role")
	}
	t.Parallel()
	server := sinktest.StartPostgres(t, "fsync=off")
	first := &ruled{T: t, server: server, dsn: server.DSN("postgres")}
	first.exec("postgres", "CREATE ROLE admin LOGIN CREATEROLE; CREATE ROLE stranger LOGIN")
	for name, test := range map[string]func(t *testing.T, w *ruled){
		"are enough for everything":             rolesAreEnough,
		"are the least":                         rolesAreTheLeast,
		"have the tables of a later version":    rolesHaveLaterTables,
		"take over a database from before them": rolesTakeOver,
	} {
		t.Run(name, func(t *testing.T) {
			r := startRuled(t, server) // one after the other: roles are the server's
			t.Parallel()
			test(t, r)
		})
	}
}

// startRuled applies the file, sets the database up as its owner and applies the file again.
func startRuled(t *testing.T, server *sinktest.PostgresServer) *ruled {
	t.Helper()
	r := &ruled{T: t, server: server, dsn: server.CreateDatabase(t)}
	r.broker, r.environ = testBroker(t)
	r.exec("postgres", "ALTER DATABASE "+nameOf(t, r.dsn)+" OWNER TO admin")
	r.rule()
	call(t, r.owning(), "", "setup").want(t, exitOK)
	r.rule()
	r.environ["DATABASE_URL"] = r.as("runmetrics_processor")
	return r
}

// owning is the environment of setup.
func (r *ruled) owning() map[string]string {
	return with(r.environ, map[string]string{"DATABASE_URL": r.as("runmetrics_owner")})
}

// as is the database for a role.
func (r *ruled) as(role string) string { return strings.Replace(r.dsn, "postgres@", role+"@", 1) }

// rule applies the file.
func (r *ruled) rule() {
	r.Helper()
	r.exec("admin", readFile(r.T, rolesFile))
}

// try sends statements as a role.
func (r *ruled) try(role, statements string) error {
	conn, err := pgx.Connect(r.Context(), r.as(role))
	if err != nil {
		return err
	}
	defer conn.Close(context.Background())
	_, err = conn.Exec(r.Context(), statements)
	return err
}

func (r *ruled) exec(role, statements string) {
	r.Helper()
	if err := r.try(role, statements); err != nil {
		r.Fatalf("%s: %.80s…: %v", role, statements, err)
	}
}

// refuses fails the test unless the database says that the role may not do that.
func (r *ruled) refuses(role, statement string) {
	r.Helper()
	err := r.try(role, statement)
	if err == nil || !strings.Contains(err.Error(), "42501") {
		r.Errorf("%s: %s: %v, want that it is refused", role, statement, err)
	}
}

// ask returns the texts that a query of the superuser finds.
func (r *ruled) ask(query string) []string {
	r.Helper()
	conn, err := pgx.Connect(r.Context(), r.dsn)
	if err != nil {
		r.Fatal(err)
	}
	defer conn.Close(context.Background())
	rows, err := conn.Query(r.Context(), query)
	if err != nil {
		r.Fatal(err)
	}
	texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		r.Fatal(err)
	}
	return texts
}

// relations are what the owner has of a kind: TABLE or VIEW.
func (r *ruled) relations(kind string) []string {
	r.Helper()
	return r.ask(`SELECT relname::text FROM pg_class WHERE pg_get_userbyid(relowner) = 'runmetrics_owner'
		AND relkind = '` + map[string]string{"TABLE": "r", "VIEW": "v"}[kind] + "' ORDER BY 1")
}

// rights are what the processor may do, as "UPDATE campaign_metrics".
func (r *ruled) rights() []string {
	r.Helper()
	return r.ask(`SELECT privilege_type || ' ' || table_name FROM information_schema.table_privileges
		WHERE grantee = 'runmetrics_processor' ORDER BY 1`)
}

// rolesAreEnough runs the service and the commands as the processor: nothing is refused by the database. What neither it nor
// the reader needs is.
func rolesAreEnough(t *testing.T, r *ruled) {
	maps.Copy(r.environ, testOrganization(t, testEmulator(t, false)))
	r.environ["LOG_FORMAT"] = "json"
	r.environ["DATABASE_URL"] += "&application_name=enough"
	l := load{Seed: 8, Runs: 4, Agents: 5}
	const n = 120
	call(t, r.environ, "", "publish", "--generate", fmt.Sprint(n), "--seed", "8", "--runs", "4", "--agents", "5").want(t, exitOK)
	js := testJetStream(t, r.broker)
	for _, bad := range []string{"{", "[]", strings.Replace(finishedLine("x", 1), `"latencyMs":`, `"latencyMs":-`, 1)} {
		if _, err := js.Publish(t.Context(), "runs.archived.x", []byte(bad)); err != nil {
			t.Fatal(err)
		}
	}
	p := startService(t, r.environ)
	at := p.up(t)
	eventually(t, "everything is committed", func() bool {
		var state stateOf
		get(t, at.API+"/readyz", &state)
		return len(state.Streams) == 1 && state.Streams[0].Position >= uint64(l.Len(n))+3
	})
	if status := report(t, at.API, aReport, new(record)); status != http.StatusCreated {
		t.Errorf("POST says %d", status)
	}
	r.commands(l)
	if code := p.stop(t); code != exitOK {
		t.Errorf("exit code %d: %s", code, p.stderr.String())
	}
	if said := r.server.Log(); strings.Contains(said, "enough: ERROR:  permission denied") || !strings.Contains(said, "enough: ") {
		t.Errorf("the database refused something: %s", said)
	}
	r.harmless()
}

// commands are those that touch the database, each in a way that it does something.
func (r *ruled) commands(l load) {
	r.Helper()
	first := l.At(0)
	mended, archive := writeFile(r.T, finishedLine("x", 1)), writeFile(r.T, finishedLine("old", 1))
	r.exec("postgres", "UPDATE campaign_metrics SET agents_total = 1000 WHERE run_id = '"+first.RunID+"'")
	for _, c := range []struct {
		code int
		args []string
	}{
		{exitOK, []string{"setup"}},
		{exitOK, []string{"replay", "--apply"}},
		{exitOK, []string{"replay", archive, "--stream", "RUN_EVENTS", "--apply"}},
		{exitOK, []string{"rebuild", "--apply"}},
		{exitOK, []string{"void", "--reason", "a test", "--campaign", first.CampaignID, "--run", first.RunID, "--apply"}},
		{exitOK, []string{"export", "--stored", "--force", filepath.Join(r.TempDir(), "stored.ndjson")}},
		{exitOK, []string{"deadletters", "requeue", "--sequence", fmt.Sprint(l.Len(120) + 3), "--payload", mended, "--apply"}},
		{exitOK, []string{"deadletters", "drop", "--reason", "malformed", "--because", "a test", "--apply"}},
		{exitOK, []string{"deadletters", "list", "--all"}},
		{exitOK, []string{"dataverse", "test"}},
		{exitOK, []string{"dataverse", "reconcile", "--adopt", "--repair"}},
		{exitOK, []string{"prune", "--before", time.Now().UTC().Format(time.RFC3339), "--apply"}},
		{exitOK, []string{"doctor", "--write"}},
	} {
		said := call(r.T, r.environ, "", c.args...)
		if said.code != c.code {
			r.Errorf("%v ends with %d: %s%s", c.args, said.code, said.stdout, said.stderr)
		}
	}
}

// harmless fails the test where a role may do what it need not.
func (r *ruled) harmless() {
	r.Helper()
	const processor, reader = "runmetrics_processor", "runmetrics_reader"
	for _, role := range []string{processor, reader} {
		r.refuses(role, "CREATE TABLE mine (n int)")
		r.refuses(role, "CREATE TEMPORARY TABLE mine (n int)")
		r.refuses(role, "CREATE SCHEMA mine")
		r.refuses(role, "CREATE ROLE mine")
		r.refuses(role, "SET ROLE runmetrics_owner")
		for _, kind := range []string{"TABLE", "VIEW"} {
			for _, name := range r.relations(kind) {
				r.refuses(role, "ALTER "+kind+" "+name+" RENAME TO mine")
				r.refuses(role, "DROP "+kind+" "+name)
			}
		}
		for _, name := range r.relations("TABLE") {
			r.refuses(role, "TRUNCATE "+name)
		}
	}
	for _, statement := range []string{"INSERT INTO runmetrics_migrations (version_id, is_applied) VALUES (99, true)",
		"DELETE FROM runmetrics_migrations", "SELECT * FROM runmetrics_migrations_lock", "DELETE FROM campaign_metrics",
		"DELETE FROM stream_positions", "DELETE FROM audit_log", "UPDATE event_chunks SET events = '[]'", "UPDATE ledger SET id = id"} {
		r.refuses(processor, statement)
	}
	readable := []string{"agent_runs", "campaign_metrics"}
	for _, name := range slices.Concat(r.relations("TABLE"), r.relations("VIEW")) {
		if !slices.Contains(readable, name) {
			r.refuses(reader, "SELECT FROM "+name)
		} else {
			r.exec(reader, "SELECT * FROM "+name)
		}
	}
	for _, statement := range []string{"UPDATE campaign_metrics SET agents_total = 0", "DELETE FROM campaign_metrics",
		"INSERT INTO campaign_metrics DEFAULT VALUES"} {
		r.refuses(reader, statement)
	}
	r.refuses("stranger", "SELECT")
	r.exec("postgres", "CREATE ROLE second LOGIN IN ROLE runmetrics_processor") // while a password is changed
	r.exec("second", "SELECT FROM ledger; UPDATE stream_positions SET sequence = sequence")
}

// rolesHaveLaterTables makes a table as a migration would.
func rolesHaveLaterTables(t *testing.T, r *ruled) {
	r.exec("runmetrics_owner", "CREATE TABLE later (n int)")
	r.exec("runmetrics_processor", "INSERT INTO later VALUES (1); UPDATE later SET n = 2; SELECT * FROM later; DELETE FROM later")
	r.refuses("runmetrics_processor", "TRUNCATE later")
	r.refuses("runmetrics_reader", "SELECT FROM later")
	before := r.rights()
	r.rule() // it does not know the table
	r.refuses("runmetrics_processor", "SELECT FROM later")
	if after := r.rights(); len(after) != len(before)-4 {
		t.Errorf("%d rights, and %d after the file was applied again", len(before), len(after))
	}
}

// rolesTakeOver applies the file where everything is the administrator's.
func rolesTakeOver(t *testing.T, r *ruled) {
	for _, kind := range []string{"TABLE", "VIEW"} {
		for _, name := range r.relations(kind) {
			r.exec("postgres", "ALTER "+kind+" "+name+" OWNER TO admin; REVOKE ALL ON "+name+" FROM runmetrics_processor")
		}
	}
	r.refuses("runmetrics_processor", "SELECT FROM ledger")
	r.rule()
	said := call(t, r.owning(), "", "setup")
	said.want(t, exitOK)
	wantVerdicts(t, said, map[string]string{"schema postgres": "unchanged", "stream RUN_EVENTS": "unchanged",
		testConsumer: "unchanged", testMessages: "unchanged"})
	r.exec("runmetrics_owner", "ALTER TABLE campaign_metrics ADD COLUMN later int; DROP VIEW agent_runs; "+
		"DROP FUNCTION expect_versions(uuid[], bigint[], bigint[])")
	r.exec("runmetrics_processor", "SELECT later FROM campaign_metrics")
	if tables := r.relations("TABLE"); len(tables) != 13 {
		t.Errorf("the owner has %q", tables)
	}
}

// rolesAreTheLeast takes away one right of the processor at a time: something that the program does is refused then.
func rolesAreTheLeast(t *testing.T, r *ruled) {
	store, err := postgres.Open(t.Context(), postgres.Config{URL: r.environ["DATABASE_URL"], Marks: true})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := everything(t.Context(), store, "all"); err != nil {
		t.Fatalf("with all rights: %v", err)
	}
	rights := r.rights()
	if len(rights) < 25 {
		t.Fatalf("the processor has %q", rights)
	}
	for i, right := range rights {
		verb, table, _ := strings.Cut(right, " ")
		r.exec("postgres", "REVOKE "+verb+" ON "+table+" FROM runmetrics_processor")
		err := everything(t.Context(), store, fmt.Sprint("without ", i))
		if err == nil || !strings.Contains(err.Error(), "permission denied for table "+table) {
			t.Errorf("without %s: %v", right, err)
		}
		r.exec("postgres", "GRANT "+verb+" ON "+table+" TO runmetrics_processor")
	}
	if err := everything(t.Context(), store, "again"); err != nil {
		t.Errorf("with all rights again: %v", err)
	}
}

// everything does, on a stream and a run of that name, what the program does with a store: the service, the copy in
// Dataverse, and the commands.
func everything(ctx context.Context, store *postgres.Store, name string) error {
	key := testKey(name)
	w := &sinktest.Writer{Store: store, At: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Position: sinks.Position{Stream: name}}
	void := events.Event{Key: key, ID: "void", Type: events.ExecutionsVoided, OccurredAt: w.At, Voids: []string{"nothing"}}
	end := events.Event{Key: key, ID: "end", Type: events.RunFinished, OccurredAt: w.At, Outcome: events.OutcomeCompleted}
	same, other := execution(key, 1), execution(key, 1)
	other.TokensIn++ // a dead letter
	_, err := store.Identity(ctx)
	steps := []func() error{
		func() error { return w.Reload(ctx) },
		func() error { return w.Write(ctx, same, void, other) },
		func() error { return w.Reload(ctx) },
		func() error { return w.Write(ctx, execution(key, 2), end, other) },
		func() error { return dispatching(ctx, store, key) },
		func() error { return repairing(ctx, store, w, key) },
		func() error { return lettering(ctx, store, name) },
	}
	for _, step := range steps {
		if err != nil {
			return err
		}
		err = step()
	}
	return err
}

// dispatching does what the dispatcher does with a run, twice.
func dispatching(ctx context.Context, store *postgres.Store, key events.Key) error {
	now := time.Now()
	owner := uuid.New()
	for range 2 {
		if err := store.Mark(ctx, []uuid.UUID{key.UUID()}, now); err != nil {
			return err
		}
		claimed, err := store.Claim(ctx, sinks.Claim{Owner: owner, Now: now, Limit: 100})
		if err != nil {
			return err
		}
		var outcomes []sinks.Outcome
		for _, c := range claimed.Copies {
			outcomes = append(outcomes, sinks.Outcome{RunKey: c.Metrics.RunKey, Version: c.Metrics.Version, Closed: true})
		}
		if _, err := store.Settle(ctx, sinks.Settlement{Owner: owner, Now: now, Outcomes: outcomes, Targets: 1}); err != nil {
			return err
		}
	}
	return nil
}

// repairing amends a run as replay does, and seals it as prune does, with a record of that.
func repairing(ctx context.Context, store *postgres.Store, w *sinktest.Writer, key events.Key) error {
	entry := sinks.AuditEntry{ID: uuid.New(), Began: time.Now(), Outcome: sinks.AuditRunning, Counts: "{}"}
	for _, entry.Outcome = range []sinks.AuditOutcome{sinks.AuditRunning, sinks.AuditDone} {
		if err := store.Audit(ctx, entry); err != nil {
			return err
		}
	}
	if _, err := store.Holdings(ctx, []events.Key{key}); err != nil {
		return err
	}
	b := w.Fold(execution(key, 3))
	b.Runs[0].Voided = []string{"nothing", "more"}
	if err := store.Amend(ctx, b); err != nil {
		return err
	}
	m, _, err := store.Get(ctx, key.UUID())
	if err != nil {
		return err
	}
	sealed, err := store.Seal(ctx, []aggregate.Metrics{m}, time.Now())
	if err == nil && sealed != 1 {
		return fmt.Errorf("%d runs were sealed", sealed)
	}
	return err
}

// lettering resolves the dead letters of a stream, and drops them.
func lettering(ctx context.Context, store *postgres.Store, stream string) error {
	letters, err := store.Letters(ctx, sinks.LetterFilter{Stream: stream, Payloads: true}, nil, 10)
	if err != nil {
		return err
	}
	var resolved []sinks.Resolution
	for i := range letters {
		resolved = append(resolved, sinks.Resolution{LetterID: letters[i].ID(), Text: "dropped"})
	}
	now := time.Now()
	if n, err := store.ResolveLetters(ctx, resolved, now); err != nil || n != 2 {
		return fmt.Errorf("%d letters resolved: %w", n, err)
	}
	_, err = store.DropResolved(ctx, now.Add(time.Minute))
	return err
}
