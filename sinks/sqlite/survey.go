package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/apexsalesai/runmetrics/sinks"
)

// addedUp joins the latencies of a run's commits. SQLite joins texts only, so they go through their digits.
const addedUp = `
(SELECT CASE WHEN count(*) = count(c.latencies) THEN unhex(group_concat(hex(c.latencies), '')) END
FROM event_chunks c WHERE c.number = campaign_metrics.number)`

var surveyRuns = "SELECT " + metricsList + `, sealed_at, known, changed FROM (
	SELECT *, changed IS NOT NULL AS known FROM (
		SELECT *, CASE WHEN sealed_at IS NOT NULL THEN latencies ELSE ` + addedUp + ` END AS changed FROM campaign_metrics
	)
) campaign_metrics `

// Survey visits every record that matches.
func (s *Store) Survey(ctx context.Context, f sinks.Filter, visit func(r *sinks.Surveyed) error) error {
	var q conditions
	q.records(f)
	err := readRows(ctx, s.reader, func(rows *sql.Rows) error {
		var (
			r         sinks.Surveyed
			sealed    sql.NullString
			known     bool
			latencies sql.RawBytes // nil for an empty value, too
			err       error
		)
		if r.Metrics, err = scanMetrics(rows, &sealed, &known, &latencies); err != nil {
			return err
		}
		if sealed.Valid {
			var at time.Time
			if at, err = parseTimestamp(sealed.String); err != nil {
				return err
			}
			r.Sealed = at
		}
		if known {
			r.Latencies = append([]byte{}, latencies...)
		}
		return visit(&r)
	}, surveyRuns+q.where(), q.args...)
	if err != nil {
		return fmt.Errorf("survey runs: %w", classify(err))
	}
	return nil
}
