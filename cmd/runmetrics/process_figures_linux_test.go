package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// idleAfter is how long a service has had nothing to do when the memory is looked at that it keeps.
const idleAfter = 5 * time.Second

// The rows of the table, by which measures are kept.
const (
	rowRate      = "committed, events/s"
	rowService   = "runmetrics"
	rowBroker    = "NATS server"
	rowDatabase  = "Postgres"
	rowTogether  = "together"
	rowBare      = "NATS server, bare read"
	rowPeak      = "at most"
	rowIdle      = "idle, 5 s after the load"
	rowStarted   = "the process is started"
	rowAligned   = "its consumer is aligned"
	rowCommitted = "the first commit is stored"
	rowRecovery  = "in all"
)

// rows are the table's, each with how many digits it has behind the point; -1 is a headline.
var rows = []struct {
	name   string
	digits int
}{
	{rowRate, 0},
	{"processor seconds for a million events", -1}, {rowService, 2}, {rowBroker, 2}, {rowDatabase, 2}, {rowTogether, 2}, {rowBare, 2},
	{"memory of runmetrics, MB", -1}, {rowPeak, 0}, {rowIdle, 0},
	{"from kill -9 to the next commit, ms", -1}, {rowStarted, 0}, {rowAligned, 0}, {rowCommitted, 0}, {rowRecovery, 0},
}

// measures are what the rounds measured, by row.
type measures map[string][]float64

func (m measures) add(row string, figure float64) { m[row] = append(m[row], figure) }

// newest is what the last round measured.
func (m measures) newest(row string) float64 { return m[row][len(m[row])-1] }

// text is a row's median, with the spread where there is one.
func (m measures) text(row string, digits int) string {
	if len(m[row]) == 0 {
		return "-"
	}
	list := slices.Sorted(slices.Values(m[row]))
	if len(list) == 1 {
		return fmt.Sprintf("%.*f", digits, list[0])
	}
	return fmt.Sprintf("%.*f (%.*f to %.*f)", digits, middle(list), digits, list[0], digits, list[len(list)-1])
}

// table sets what was measured of the two deployments side by side.
func table(apart, inside measures) string {
	var t strings.Builder
	fmt.Fprintf(&t, "%-40s %26s %26s\n", "", "NATS and Postgres apart", "all in one process")
	for _, row := range rows {
		if row.digits < 0 {
			fmt.Fprintf(&t, "%s\n", row.name)
			continue
		}
		fmt.Fprintf(&t, "  %-38s %26s %26s\n", row.name, apart.text(row.name, row.digits), inside.text(row.name, row.digits))
	}
	return t.String()
}
