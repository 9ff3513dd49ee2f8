package sqlite

import (
	"database/sql"
	"math"
	"strings"
	"time"

	"github.com/apexsalesai/runmetrics/aggregate"
)

// metricsColumns are the columns of campaign_metrics in the order in which metricsArgs gives and scanMetrics takes them.
// The first four name the run and never change.
var metricsColumns = []string{
	"run_key", "campaign_id", "run_id", "phase", "status", "source", "agents_total", "agents_successful", "agents_failed",
	"agents_cancelled", "agents_running", "agents_missing", "agents_expected", "executions", "assets_generated",
	"tokens_in", "tokens_out", "cost_usd", "cost_complete", "latency_avg_ms", "latency_p50_ms", "latency_p95_ms",
	"latency_p99_ms", "latency_max_ms", "success_rate", "created_at", "finished_at", "updated_at", "version",
}

// selectMetrics begins every statement that reads records.
var (
	metricsList   = strings.Join(metricsColumns, ", ")
	selectMetrics = "SELECT " + metricsList + " FROM campaign_metrics "
)

// insertMetrics begins the statements that write records. Commit has looked at the versions before.
var insertMetrics = "INSERT INTO campaign_metrics (number, " + metricsList + ")"

// numberKept is the number of a run if its row was deleted by hand and its events were not. Where there is none
// a new row gets the next number. A known run must not take one with each commit: it is offered 0, and keeps its own.
const numberKept = "(SELECT number FROM deleted_runs WHERE run_key = ?)"

// updateMetrics ends the statement for runs that have a row.
func updateMetrics() string {
	set := make([]string, 0, len(metricsColumns))
	for _, column := range metricsColumns[4:] {
		set = append(set, column+" = excluded."+column)
	}
	return "ON CONFLICT (run_key) DO UPDATE SET " + strings.Join(set, ", ")
}

// metricsArgs appends the key for numberKept, and a value for each of metricsColumns.
func metricsArgs(args []any, key string, m *aggregate.Metrics, at time.Time) []any {
	return append(args, key, key, m.CampaignID, m.RunID, m.Phase, string(m.Status), string(m.Source),
		m.AgentsTotal, m.AgentsSuccessful, m.AgentsFailed, integer(m.AgentsCancelled), integer(m.AgentsRunning),
		integer(m.AgentsMissing), integer(m.AgentsExpected), integer(m.Executions), m.AssetsGenerated, m.TokensIn,
		m.TokensOut, m.CostUSD.String(), m.CostComplete, integer(m.LatencyAvgMs), integer(m.LatencyP50Ms),
		integer(m.LatencyP95Ms), integer(m.LatencyP99Ms), integer(m.LatencyMaxMs), percent(m.SuccessRate),
		timestamp(m.CreatedAt), optionalTimestamp(m.FinishedAt), timestamp(at), m.Version)
}

// scanMetrics reads one row of metricsColumns, and of what stands behind them.
func scanMetrics(rows *sql.Rows, behind ...any) (aggregate.Metrics, error) {
	var (
		m                    aggregate.Metrics
		cost                 string
		rate                 sql.NullFloat64
		createdAt, updatedAt string
		finishedAt           sql.NullString
	)
	err := rows.Scan(append([]any{&m.RunKey, &m.CampaignID, &m.RunID, &m.Phase, &m.Status, &m.Source,
		&m.AgentsTotal, &m.AgentsSuccessful, &m.AgentsFailed, &m.AgentsCancelled, &m.AgentsRunning,
		&m.AgentsMissing, &m.AgentsExpected, &m.Executions, &m.AssetsGenerated, &m.TokensIn,
		&m.TokensOut, &cost, &m.CostComplete, &m.LatencyAvgMs, &m.LatencyP50Ms,
		&m.LatencyP95Ms, &m.LatencyP99Ms, &m.LatencyMaxMs, &rate,
		&createdAt, &finishedAt, &updatedAt, &m.Version}, behind...)...)
	if err != nil {
		return m, err
	}
	if rate.Valid {
		hundredths := aggregate.Percent(math.Round(rate.Float64 * 100))
		m.SuccessRate = &hundredths
	}
	if m.CreatedAt, err = parseTimestamp(createdAt); err != nil {
		return m, err
	}
	if m.UpdatedAt, err = parseTimestamp(updatedAt); err != nil {
		return m, err
	}
	if finishedAt.Valid {
		at, err := parseTimestamp(finishedAt.String)
		if err != nil {
			return m, err
		}
		m.FinishedAt = &at
	}
	if m.CostUSD, err = aggregate.ParseMoney(cost); err != nil {
		return m, damaged("cost_usd", err)
	}
	return m, nil
}

// integer saves database/sql from looking through the pointer by reflection.
func integer(n *int64) any {
	if n == nil {
		return nil
	}
	return *n
}

// percent is the double nearest to two decimals, which rounds back to the same hundredths.
func percent(p *aggregate.Percent) any {
	if p == nil {
		return nil
	}
	return float64(*p) / 100
}

// timeLayout has a fixed width, so that times sort as text.
const timeLayout = "2006-01-02T15:04:05.000000Z"

func timestamp(t time.Time) string { return t.UTC().Format(timeLayout) }

func optionalTimestamp(t *time.Time) any {
	if t == nil {
		return nil
	}
	return timestamp(*t)
}

// utcDay names the UTC day of a time.
func utcDay(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// optionalTime reads a timestamp, which is zero where it is NULL.
func optionalTime(s sql.NullString) (time.Time, error) {
	if !s.Valid {
		return time.Time{}, nil
	}
	return parseTimestamp(s.String)
}

func parseTimestamp(s string) (time.Time, error) {
	t, err := time.Parse(timeLayout, s)
	if err != nil {
		return t, damaged("time", err)
	}
	return t, nil
}
