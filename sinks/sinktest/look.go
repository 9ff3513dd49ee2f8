package sinktest

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// tables are all that a store may write to.
var tables = []string{"stream_positions", "campaign_metrics", "event_chunks", "voided_events", "dead_letters",
	"dead_letter_counts", "dataverse_outbox", "dataverse_targets", "audit_log", "deleted_runs"}

// rows runs a query and returns every value as text, NULL as "NULL".
func (db Database) rows(t testing.TB, query string) [][]string {
	t.Helper()
	rows, err := db.SQL.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var all [][]string
	for rows.Next() {
		values := make([]sql.NullString, len(columns))
		into := make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		row := make([]string, len(columns))
		for i, v := range values {
			row[i] = "NULL"
			if v.Valid {
				row[i] = v.String
			}
		}
		all = append(all, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return all
}

// dump returns all that is stored, to find out whether anything was touched.
func (db Database) dump(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	for _, table := range tables {
		var lines []string
		for _, row := range db.rows(t, "SELECT * FROM "+table) {
			lines = append(lines, fmt.Sprintf("%s: %q\n", table, row))
		}
		slices.Sort(lines)
		b.WriteString(strings.Join(lines, ""))
	}
	return b.String()
}

// untouched fails the test if the database is no longer as it was.
func (db Database) untouched(t testing.TB, before string) {
	t.Helper()
	if now := db.dump(t); now != before {
		t.Errorf("the database was touched:\n%s\nbefore:\n%s", now, before)
	}
}

// show makes records comparable and readable.
func show(list ...aggregate.Metrics) string {
	var b strings.Builder
	for _, m := range list {
		line, err := json.Marshal(m)
		if err != nil {
			return err.Error()
		}
		b.Write(append(line, '\n'))
	}
	return b.String()
}

// same fails the test if the records differ.
func same(t testing.TB, what string, got, want []aggregate.Metrics) {
	t.Helper()
	if g, w := show(got...), show(want...); g != w {
		t.Errorf("%s:\n%s\nwant:\n%s", what, g, w)
	}
}

// metricsOf returns a record that must be there.
func metricsOf(t testing.TB, store sinks.Reader, run uuid.UUID) aggregate.Metrics {
	t.Helper()
	m, found, err := store.Get(t.Context(), run)
	if err != nil || !found {
		t.Fatalf("get %s: found %v, %v", run, found, err)
	}
	return m
}

// eventsOf returns the stored events of a run, encoded.
func eventsOf(t testing.TB, store sinks.Reader, run uuid.UUID) []string {
	t.Helper()
	list, err := sinks.EventsOf(t.Context(), store, run)
	if err != nil {
		t.Fatal(err)
	}
	return encoded(list)
}

func encoded(list []events.Event) []string {
	lines := make([]string, len(list))
	for i := range list {
		lines[i] = string(events.Encode(&list[i]))
	}
	return lines
}

// folded is what all of the events add up to, as the run's version v committed with the time of m.
func folded(list []events.Event, like aggregate.Metrics) aggregate.Metrics {
	run := aggregate.NewRun(list[0].Key)
	for i := range list {
		run.Apply(&list[i])
	}
	m := run.Metrics()
	m.Version, m.UpdatedAt = like.Version, like.UpdatedAt
	return m
}
