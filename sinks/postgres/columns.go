package postgres

import (
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/apexsalesai/runmetrics/aggregate"
)

// column is one column of campaign_metrics.
type column struct {
	name  string
	array string // the type of the parameter that carries its values, one for each run
	store string // how a value from there is stored, %s; empty: as it is
	read  string // how it is read back; empty: as it is
	field func(m *aggregate.Metrics) any
}

const fromMicroseconds = "timestamptz 'epoch' + %s * interval '1 microsecond'"

// columns are all of campaign_metrics. Decimals travel as text, in both directions: exact, and no slower than binary
// numerics. The first four name the run and never change; the last two are the commit's.
var columns = []column{
	{name: "run_key", array: "uuid[]", field: func(m *aggregate.Metrics) any { return &m.RunKey }},
	{name: "campaign_id", array: "text[]", field: func(m *aggregate.Metrics) any { return &m.CampaignID }},
	{name: "run_id", array: "text[]", field: func(m *aggregate.Metrics) any { return &m.RunID }},
	{name: "phase", array: "text[]", field: func(m *aggregate.Metrics) any { return &m.Phase }},
	{name: "status", array: "text[]", field: func(m *aggregate.Metrics) any { return &m.Status }},
	{name: "source", array: "text[]", field: func(m *aggregate.Metrics) any { return &m.Source }},
	{name: "agents_total", array: "bigint[]", field: func(m *aggregate.Metrics) any { return &m.AgentsTotal }},
	{name: "agents_successful", array: "bigint[]", field: func(m *aggregate.Metrics) any { return &m.AgentsSuccessful }},
	{name: "agents_failed", array: "bigint[]", field: func(m *aggregate.Metrics) any { return &m.AgentsFailed }},
	{name: "agents_cancelled", array: "bigint[]", field: func(m *aggregate.Metrics) any { return &m.AgentsCancelled }},
	{name: "agents_running", array: "bigint[]", field: func(m *aggregate.Metrics) any { return &m.AgentsRunning }},
	{name: "agents_missing", array: "bigint[]", field: func(m *aggregate.Metrics) any { return &m.AgentsMissing }},
	{name: "agents_expected", array: "bigint[]", field: func(m *aggregate.Metrics) any { return &m.AgentsExpected }},
	{name: "executions", array: "bigint[]", field: func(m *aggregate.Metrics) any { return &m.Executions }},
	{name: "assets_generated", array: "bigint[]", field: func(m *aggregate.Metrics) any { return &m.AssetsGenerated }},
	{name: "tokens_in", array: "bigint[]", field: func(m *aggregate.Metrics) any { return &m.TokensIn }},
	{name: "tokens_out", array: "bigint[]", field: func(m *aggregate.Metrics) any { return &m.TokensOut }},
	{name: "cost_usd", array: "text[]", store: "%s::numeric", read: "cost_usd::text",
		field: func(m *aggregate.Metrics) any { return &m.CostUSD }},
	{name: "cost_complete", array: "boolean[]", field: func(m *aggregate.Metrics) any { return &m.CostComplete }},
	{name: "latency_avg_ms", array: "bigint[]", field: func(m *aggregate.Metrics) any { return &m.LatencyAvgMs }},
	{name: "latency_p50_ms", array: "bigint[]", field: func(m *aggregate.Metrics) any { return &m.LatencyP50Ms }},
	{name: "latency_p95_ms", array: "bigint[]", field: func(m *aggregate.Metrics) any { return &m.LatencyP95Ms }},
	{name: "latency_p99_ms", array: "bigint[]", field: func(m *aggregate.Metrics) any { return &m.LatencyP99Ms }},
	{name: "latency_max_ms", array: "bigint[]", field: func(m *aggregate.Metrics) any { return &m.LatencyMaxMs }},
	{name: "success_rate", array: "text[]", store: "%s::numeric", read: "(success_rate * 100)::bigint",
		field: func(m *aggregate.Metrics) any { return &m.SuccessRate }},
	{name: "created_at", array: "bigint[]", store: fromMicroseconds,
		field: func(m *aggregate.Metrics) any { return &m.CreatedAt }},
	{name: "finished_at", array: "bigint[]", store: fromMicroseconds,
		field: func(m *aggregate.Metrics) any { return &m.FinishedAt }},
	{name: "updated_at", field: func(m *aggregate.Metrics) any { return &m.UpdatedAt }},
	{name: "version", field: func(m *aggregate.Metrics) any { return &m.Version }},
}

// sent are the columns of which each run has a value of its own in a commit.
var sent = columns[:len(columns)-2]

const namingColumns = 4

// insertRuns writes the runs that their writer takes for new, and their events. A unique violation refuses it where one has a
// row: to be ready for a conflict in each row, as updateRuns is, costs the server a seventh more.
//
// updateRuns writes the others without looking at what is there, and then refuses unless each got the version that its
// writer expected: one more than before. A run without a row gets the one after that of events which somebody left who
// deleted the row. A sealed run refuses every version. Only a run that is new takes the next number: of the others those
// that have a row keep theirs, and one that has neither a row nor events is refused.
//
// Both take the runs sorted by key, and the new ones come first, which no other commit can know before they are there: two
// commits wait for each other and never both. A select list takes the arrays apart in step; FROM unnest($1, $2) would first
// keep the elements of each in a table of its own.
var insertRuns, updateRuns = buildWriteRuns()

func buildWriteRuns() (insert, update string) {
	var names, values, params, set []string
	for i, c := range sent {
		names = append(names, c.name)
		values = append(values, c.stored("r."+c.name))
		params = append(params, fmt.Sprintf("unnest($%d::%s) AS %s", i+1, c.array, c.name))
		if i >= namingColumns {
			set = append(set, c.name+" = excluded."+c.name)
		}
	}
	params = append(params, fmt.Sprintf("unnest($%d::bigint[]) AS version", len(sent)+1))
	writing := func(number string) string {
		return fmt.Sprintf(`
WITH written AS (
	INSERT INTO campaign_metrics AS m (number, %[1]s, version, updated_at)
	SELECT CASE WHEN EXISTS (SELECT FROM deleted_runs)
		THEN coalesce((SELECT d.number FROM deleted_runs d WHERE d.run_key = r.run_key), %[2]s) ELSE %[2]s END,
		%[3]s, r.version, $%[4]d::timestamptz
	FROM (SELECT %[5]s) AS r`,
			strings.Join(names, ", "), number, strings.Join(values, ", "), len(sent)+2, strings.Join(params, ", "))
	}
	chunks := buildWriteChunks(len(sent) + 1)
	insert = writing("nextval('run_numbers')") + `
	RETURNING m.run_key, m.number
)` + chunks
	update = fmt.Sprintf(`%s
	ON CONFLICT (run_key) DO UPDATE SET %s, updated_at = excluded.updated_at, version = m.version + 1
	RETURNING m.run_key, m.number, CASE
		WHEN m.sealed_at IS NULL AND (m.xmax <> 0 OR EXISTS (
			SELECT FROM event_chunks c WHERE c.number = m.number AND c.version = m.version - 1))
		THEN m.version END AS version
), chunks AS (%s
)
SELECT expect_versions($1::uuid[], $%d::bigint[], (SELECT array_agg(version ORDER BY run_key) FROM written))`,
		writing("0"), strings.Join(set, ", "), chunks, len(sent)+1)
	return insert, update
}

// buildWriteChunks is the statement that writes a chunk for each of the rows written, whose versions are the given parameter.
// It takes all chunks as one value, which is faster to send and to take apart than an array of texts; so it does the
// latencies. What begins nowhere is NULL. The driver copies the values one behind the other: the longest is the last, or there
// would be no room for the others behind it.
func buildWriteChunks(versions int) string {
	return fmt.Sprintf(`
INSERT INTO event_chunks (number, version, events, latencies)
SELECT c.number, c.version, convert_from(substring($%[7]d::bytea FROM c.begin FOR c.length), 'UTF8'),
	substring($%[6]d::bytea FROM c.first FOR c.size)
FROM (SELECT unnest((SELECT array_agg(number ORDER BY run_key) FROM written)) AS number, unnest($%[1]d::bigint[]) AS version,
	unnest($%[2]d::integer[]) AS begin, unnest($%[3]d::integer[]) AS length,
	unnest($%[4]d::integer[]) AS first, unnest($%[5]d::integer[]) AS size) AS c`,
		versions, versions+2, versions+3, versions+4, versions+5, versions+6, versions+7)
}

// stored is the expression that stores a value.
func (c column) stored(value string) string {
	if c.store == "" {
		return value
	}
	return fmt.Sprintf(c.store, value)
}

// selectMetricsColumns begins every statement that reads records, selectMetrics most of them.
var (
	selectMetricsColumns = buildSelectMetricsColumns()
	selectMetrics        = selectMetricsColumns + " FROM campaign_metrics "
)

func buildSelectMetricsColumns() string {
	read := make([]string, len(columns))
	for i, c := range columns {
		read[i] = c.read
		if c.read == "" {
			read[i] = c.name
		}
	}
	return "SELECT " + strings.Join(read, ", ")
}

// scanMetrics reads the row of a statement that begins with selectMetrics.
func scanMetrics(row pgx.CollectableRow) (aggregate.Metrics, error) {
	var m aggregate.Metrics
	if err := row.Scan(metricsTargets(&m)...); err != nil {
		return m, err
	}
	inUTC(&m)
	return m, nil
}

// metricsTargets are what the columns of selectMetricsColumns are scanned into; inUTC completes the record.
func metricsTargets(m *aggregate.Metrics) []any {
	targets := make([]any, len(columns))
	for i, c := range columns {
		targets[i] = c.field(m)
		if cost, ok := targets[i].(*aggregate.Money); ok {
			targets[i] = (*moneyText)(cost)
		}
	}
	return targets
}

// inUTC sets the zone of a record's times, which the driver reads as local ones.
func inUTC(m *aggregate.Metrics) {
	m.CreatedAt, m.UpdatedAt = m.CreatedAt.UTC(), m.UpdatedAt.UTC()
	if m.FinishedAt != nil {
		*m.FinishedAt = m.FinishedAt.UTC()
	}
}

// moneyText scans a decimal that came as text.
type moneyText aggregate.Money

// ScanText reads all digits.
func (m *moneyText) ScanText(t pgtype.Text) error {
	parsed, err := aggregate.ParseMoney(t.String)
	*m = moneyText(parsed)
	return err
}
