package consumer_test

import (
	"crypto/md5"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

const (
	// keptKeys is how many of the filled runs have the keys that belong to their names; those of all others are random, and
	// nobody can ask for them.
	keptKeys = 50_000
	// wholeRuns is up to how many runs each has its ten executions. Beyond it, only those do whose keys are kept, the others
	// have one, so that ten million runs take 10 GB and not 25: rows and indexes are as many, and an index is as large.
	wholeRuns = 1_000_000
	// filledID begins the ids of a filled run's events, where its key does in the store.
	filledID = "ffffffff"
)

// growthKey names a run by a random UUID, which is the same for the same number.
func growthKey(series string, n int) events.Key {
	id := uuid.UUID(md5.Sum(fmt.Append(nil, series, n)))
	return events.Key{CampaignID: fmt.Sprintf("campaign-%03d", n%1000), RunID: id.String(), Phase: "2-3"}
}

// fillRuns fills the database with runs of ten executions, and returns the names of some, in a random order. One is committed
// by the store; the rows of all others are made from it in SQL, with random keys, random ids and times of their own. Indexes are
// made anew then, with as much room as rows at random places leave behind in Postgres; in SQLite those that are no
// primary key are dense.
func fillRuns(b *testing.B, d grownDatabase, runs int) []events.Key {
	model := growthKey("model", 0)
	list := make([]events.Event, 10)
	for i := range list {
		list[i] = growthExecution(model, filledID+growthID(0, i)[8:], i)
	}
	store := d.open(b)
	if err := sinktest.NewWriter(b, store, "FILLED").Write(b.Context(), list...); err != nil {
		b.Fatal(err)
	}
	if err := store.Close(); err != nil {
		b.Fatal(err)
	}
	f := filler{d, d.sql(b, "?_pragma=journal_mode(OFF)&_pragma=synchronous(OFF)&_pragma=cache_size(-2000000)")}
	kept := f.keep(b, runs)
	f.prepare(b)
	indexes := f.dropIndexes(b)
	f.fill(b, runs, model, list)
	for _, index := range indexes {
		execute(b, f.db, index)
	}
	f.finish(b)
	if err := f.db.Close(); err != nil {
		b.Fatal(err)
	}
	syscall.Sync() // what is left to be written must not be written while something is measured
	return kept
}

// filler fills one database.
type filler struct {
	grownDatabase
	db *sql.DB
}

// keep makes a table of the runs whose keys are kept, at equal distances.
func (f filler) keep(b *testing.B, runs int) []events.Key {
	n := min(runs-1, keptKeys)
	kept := make([]events.Key, n)
	execute(b, f.db, "CREATE TABLE kept (n integer PRIMARY KEY, run_key "+f.either("uuid", "text")+", run_id text)")
	var rows []string
	for i := range kept {
		at := 1 + i*((runs-1)/n)
		kept[i] = growthKey("kept", at)
		rows = append(rows, fmt.Sprintf("(%d,'%s','%s')", at, kept[i].UUID(), kept[i].RunID))
		if len(rows) == 1000 || i == n-1 {
			execute(b, f.db, "INSERT INTO kept VALUES "+strings.Join(rows, ","))
			rows = rows[:0]
		}
	}
	slices.SortFunc(kept, func(a, b events.Key) int { return strings.Compare(a.RunID, b.RunID) })
	return kept[:n/growthBatch*growthBatch]
}

func (f filler) either(postgres, sqlite string) string {
	if f.server != nil {
		return postgres
	}
	return sqlite
}

// prepare makes Postgres write without waiting for the disk.
func (f filler) prepare(b *testing.B) {
	if f.server == nil {
		return
	}
	for _, statement := range []string{"ALTER SYSTEM SET fsync = off", "ALTER SYSTEM SET max_wal_size = '4GB'",
		"SELECT pg_reload_conf()", "SET maintenance_work_mem = '1GB'", "SET jit = off"} {
		execute(b, f.db, statement)
	}
}

// dropIndexes returns how to make them anew.
func (f filler) dropIndexes(b *testing.B) (statements []string) {
	rows, err := f.db.QueryContext(b.Context(), f.either(
		"SELECT indexname, indexdef, tablename FROM pg_indexes WHERE tablename IN ('campaign_metrics', 'event_chunks')",
		"SELECT name, sql, tbl_name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL "+
			"AND tbl_name IN ('campaign_metrics', 'event_chunks')"))
	if err != nil {
		b.Fatal(err)
	}
	var drops []string
	for rows.Next() {
		var name, definition, table string
		if err := rows.Scan(&name, &definition, &table); err != nil {
			b.Fatal(err)
		}
		drop := "DROP INDEX " + name
		statements = append(statements, definition+f.either(" WITH (fillfactor = 70)", ""))
		for suffix, constraint := range map[string]string{"_pkey": "PRIMARY KEY", "_key": "UNIQUE"} {
			if f.server != nil && strings.HasSuffix(name, suffix) {
				drop = fmt.Sprintf("ALTER TABLE %s DROP CONSTRAINT %s", table, name)
				statements = append(statements, fmt.Sprintf("ALTER TABLE %s ADD %s USING INDEX %s", table, constraint, name))
			}
		}
		if f.server != nil {
			statements = append(statements, fmt.Sprintf("ALTER INDEX %s RESET (fillfactor)", name))
		}
		drops = append(drops, drop)
	}
	if err := rows.Err(); err != nil {
		b.Fatal(err)
	}
	for _, drop := range drops {
		execute(b, f.db, drop)
	}
	return statements
}

// randomUUID is an expression of SQLite for what looks like one.
const randomUUID = "(lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-8' || " +
	"substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6))))"

func (f filler) fill(b *testing.B, runs int, model events.Key, list []events.Event) {
	rest := strings.Join(f.otherColumns(b), ", ")
	execute(b, f.db, "CREATE TABLE model AS SELECT * FROM campaign_metrics")
	execute(b, f.db, fmt.Sprintf(`
INSERT INTO campaign_metrics (run_key, run_id, campaign_id, created_at, %[1]s)
%[2]s SELECT coalesce(k.run_key, %[3]s), coalesce(k.run_id, %[4]s), 'campaign-' || %[5]s, %[6]s, %[1]s
FROM g LEFT JOIN kept k ON k.n = g.n CROSS JOIN model`, rest,
		f.either(fmt.Sprintf("WITH g AS (SELECT generate_series(1, %d) AS n)", runs-1),
			fmt.Sprintf("WITH RECURSIVE g (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM g WHERE n < %d)", runs-1)),
		f.either("gen_random_uuid()", randomUUID), f.either("gen_random_uuid()::text", randomUUID),
		f.either("to_char(g.n % 1000, 'FM000')", "printf('%03d', g.n % 1000)"),
		f.either("timestamptz '2026-01-01 00:00Z' + g.n / 2 * interval '1 second'",
			"strftime('%Y-%m-%dT%H:%M:%S', 1767225600 + g.n / 2, 'unixepoch') || '.000000Z'")))
	whole, wholeLatencies := storedForm(list)
	most, mostLatencies := whole, wholeLatencies
	if runs > wholeRuns {
		most, mostLatencies = storedForm(list[:1])
	}
	execute(b, f.db, fmt.Sprintf(`
INSERT INTO event_chunks (number, version, events, latencies)
SELECT m.number, 1, replace(CASE WHEN k.run_key IS NULL THEN $1 ELSE $2 END, '%[1]s', substr(CAST(m.run_key AS text), 1, 8)),
	CASE WHEN k.run_key IS NULL THEN CAST($3 AS %[2]s) ELSE CAST($4 AS %[2]s) END
FROM campaign_metrics m LEFT JOIN kept k ON k.run_key = m.run_key
WHERE m.run_id <> $5`, filledID, f.either("bytea", "blob")), most, whole, mostLatencies, wholeLatencies, model.RunID)
	execute(b, f.db, "DROP TABLE model")
}

// otherColumns are those of campaign_metrics that are copied from the model.
func (f filler) otherColumns(b *testing.B) []string {
	rows, err := f.db.QueryContext(b.Context(), "SELECT * FROM campaign_metrics LIMIT 0")
	if err != nil {
		b.Fatal(err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		b.Fatal(err)
	}
	return slices.DeleteFunc(names, func(name string) bool {
		return slices.Contains([]string{"number", "run_key", "run_id", "campaign_id", "created_at"}, name)
	})
}

// storedForm is what the store keeps of events.
func storedForm(list []events.Event) (chunk string, latencies []byte) {
	var (
		pointers []*events.Event
		changes  aggregate.LatencyChanges
	)
	for i := range list {
		pointers = append(pointers, &list[i])
		changes = append(changes, int32(list[i].LatencyMs))
	}
	return string(sinks.AppendChunk(nil, pointers)), sinks.AppendLatencies(nil, changes)
}

// finish leaves the tables as autovacuum would, and Postgres with its default settings.
func (f filler) finish(b *testing.B) {
	execute(b, f.db, "DROP TABLE kept")
	if f.server == nil {
		return
	}
	for _, statement := range []string{"VACUUM ANALYZE", "CHECKPOINT", "ALTER SYSTEM RESET ALL",
		"SELECT pg_reload_conf()", "CHECKPOINT"} {
		execute(b, f.db, statement)
	}
}
