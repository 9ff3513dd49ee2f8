package consumer_test

import (
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// BenchmarkGrowthBytes measures what the stores keep of RUNMETRICS_BENCH_STORED (100,000) executions in runs of several sizes,
// and what Postgres writes to its log for them. A run arrives whole, in one commit, or each of its executions in a commit of its
// own, as it does where an agent takes seconds: what is true lies between. Outbox marks are on. Postgres writes no full pages
// to its log, as on Neon; BenchmarkGrowthRuns tells what it writes where it does.
func BenchmarkGrowthBytes(b *testing.B) {
	n := fromEnvironment(b, "RUNMETRICS_BENCH_STORED", 100_000)
	server := sinktest.StartPostgres(b, "full_page_writes=off")
	fmt.Printf("\n%-9s %-28s %20s %28s %8s %12s %12s %12s %14s\n", "", "", "row of a run, B", "events of an execution, B", "mark, B",
		"all of a run", "an execution", "log of it, B", "processor, µs")
	fmt.Printf("%-9s %-28s %20s %28s %8s\n", "", "executions of a run", "table + indexes", "table + TOAST + indexes", "")
	for _, create := range []func() grownDatabase{
		func() grownDatabase { return newPostgresDatabase(b, server, true) },
		func() grownDatabase { return newSQLiteDatabase(b, true) },
	} {
		for _, s := range []storedShape{{1, false, false}, {10, false, false}, {100, false, false}, {1000, false, false},
			{10, true, false}, {10, true, true}, {100, true, false}, {1000, true, false}} {
			d := create()
			s.report(d, n, s.write(b, d, n), sizesOf(b, d, s, n))
		}
	}
	b.ReportMetric(0, "ns/op")
}

// storedShape is how executions come.
type storedShape struct {
	executions int  // of a run
	apart      bool // each in a commit of its own
	ends       bool // after a run.started and before a run.finished
}

func (s storedShape) String() string {
	text := fmt.Sprint(s.executions)
	if s.apart {
		text += ", one by one"
	}
	if s.ends {
		text += ", start and end"
	}
	return text
}

// write commits n executions, and returns what that took.
func (s storedShape) write(b *testing.B, d grownDatabase, n int) cost {
	store := d.open(b)
	defer store.Close()
	w := sinktest.NewWriter(b, store, "RUN_EVENTS")
	m := meter{d.server, d.sql(b, "")}
	defer m.db.Close()
	return m.measure(b, n, func(timed func(func() error)) {
		runs := min(10_000/s.executions, n/s.executions) // that are under way at a time
		if s.apart {
			runs = min(growthBatch, n/s.executions)
		}
		for first := 0; first < n/s.executions; first += runs {
			for _, list := range s.commits(growthKeys(first, min(runs, n/s.executions-first)), first) {
				batch := w.Fold(list...)
				timed(func() error { return w.Commit(b.Context(), batch) })
			}
			if err := w.Reload(b.Context()); err != nil { // no run comes twice: nothing need stay in memory
				b.Fatal(err)
			}
		}
	})
}

// commits makes the events of some runs, one list for each commit.
func (s storedShape) commits(keys []events.Key, first int) (commits [][]events.Event) {
	for agent := range s.executions {
		var list []events.Event
		for i, key := range keys {
			list = append(list, growthExecution(key, growthID(first+i, agent), agent))
		}
		commits = append(commits, list)
	}
	if s.ends {
		var starts, ends []events.Event
		for i, key := range keys {
			at := time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)
			starts = append(starts, events.Event{Key: key, ID: growthID(first+i, s.executions), Type: events.RunStarted, OccurredAt: at,
				AgentsExpected: int64(s.executions)})
			ends = append(ends, events.Event{Key: key, ID: growthID(first+i, s.executions+1), Type: events.RunFinished,
				OccurredAt: at.Add(time.Minute), Outcome: events.OutcomeCompleted})
		}
		commits = append(append([][]events.Event{starts}, commits...), ends)
	}
	if s.apart {
		return commits
	}
	var all []events.Event
	for _, list := range commits {
		all = append(all, list...)
	}
	return [][]events.Event{all}
}

// storedSizes are bytes in all.
type storedSizes struct{ runs, runIndexes, chunks, toast, chunkIndexes, marks int64 }

// sizesOf looks into the database, after a vacuum such as Postgres does by itself, and checks that all is there.
func sizesOf(b *testing.B, d grownDatabase, s storedShape, n int) storedSizes {
	db := d.sql(b, "")
	defer db.Close()
	if got := number(b, db, "SELECT CAST(sum(executions) AS bigint) FROM campaign_metrics"); got != int64(n) {
		b.Fatalf("%s: %d executions are stored, want %d", d.name, got, n)
	}
	if got := number(b, db, "SELECT count(*) FROM agent_runs"); got != int64(n) {
		b.Fatalf("%s: agent_runs has %d rows, want %d", d.name, got, n)
	}
	if d.server == nil {
		return sqliteSizes(b, db)
	}
	execute(b, db, "VACUUM")
	table := func(name string) (all, toast, indexes int64) {
		toast = number(b, db, "SELECT coalesce(pg_total_relation_size(nullif(reltoastrelid, 0)), 0) "+
			"FROM pg_class WHERE oid = $1::regclass", name)
		return number(b, db, "SELECT pg_table_size($1::regclass)", name) - toast, toast,
			number(b, db, "SELECT pg_indexes_size($1::regclass)", name)
	}
	var z storedSizes
	z.runs, _, z.runIndexes = table("campaign_metrics")
	z.chunks, z.toast, z.chunkIndexes = table("event_chunks")
	z.marks = number(b, db, "SELECT pg_total_relation_size('dataverse_outbox')")
	return z
}

// sqliteSizes counts pages. What does not fit into a row's page lies in pages of its own, which belong to the table.
func sqliteSizes(b *testing.B, db *sql.DB) storedSizes {
	pages := func(table string, index bool) int64 {
		return number(b, db, "SELECT coalesce(sum(pgsize), 0) FROM dbstat s JOIN sqlite_master m ON m.name = s.name "+
			"WHERE m.tbl_name = $1 AND (m.type = 'index') = $2", table, index)
	}
	return storedSizes{runs: pages("campaign_metrics", false), runIndexes: pages("campaign_metrics", true),
		chunks: pages("event_chunks", false), chunkIndexes: pages("event_chunks", true),
		marks: pages("dataverse_outbox", false) + pages("dataverse_outbox", true)}
}

func (s storedShape) report(d grownDatabase, n int, c cost, z storedSizes) {
	runs := int64(n / s.executions)
	run := (z.runs + z.runIndexes + z.chunks + z.toast + z.chunkIndexes + z.marks) / runs
	each := func(bytes int64) int64 { return bytes / int64(n) }
	used := c.server
	if d.server == nil {
		used = c.process
	}
	fmt.Printf("%-9s %-28s %20s %28s %8d %12d %12d %12d %14.1f\n", d.name, s,
		fmt.Sprintf("%d + %d", z.runs/runs, z.runIndexes/runs),
		fmt.Sprintf("%d + %d + %d", each(z.chunks), each(z.toast), each(z.chunkIndexes)), z.marks/runs,
		run, run/int64(s.executions), c.log/int64(n), c.each(used))
}
