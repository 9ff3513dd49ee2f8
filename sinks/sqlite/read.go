package sqlite

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/sinks"
)

// List returns records newest first.
func (s *Store) List(ctx context.Context, f sinks.Filter, after *sinks.Cursor, limit int) ([]aggregate.Metrics, error) {
	var q conditions
	q.records(f)
	if after != nil {
		q.add("(created_at, run_key) < (?, ?)", timestamp(after.CreatedAt), after.RunKey.String())
	}
	list, err := s.records(ctx, q.where()+" ORDER BY created_at DESC, run_key DESC LIMIT ?", append(q.args, limit)...)
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	return list, nil
}

// conditions are joined by AND.
type conditions struct {
	terms []string
	args  []any
}

func (q *conditions) add(term string, args ...any) {
	q.terms = append(q.terms, term)
	q.args = append(q.args, args...)
}

func (q *conditions) equal(column, value string) {
	if value != "" {
		q.add(column+" = ?", value)
	}
}

// records adds what a filter selects.
func (q *conditions) records(f sinks.Filter) {
	q.named(f.CampaignID, f.RunID)
	q.equal("phase", f.Phase)
	q.status(f)
	q.created(f.Since, f.Until)
}

// named adds names of runs with the parts of the indexes that each of them may be in.
func (q *conditions) named(campaignID, runID string) {
	if campaignID == "" && runID == "" {
		return
	}
	q.equal("campaign_id", campaignID)
	q.equal("run_id", runID)
	q.add(`number >> 14 IN (WITH RECURSIVE part (n) AS (
		SELECT 0 UNION ALL SELECT n + 1 FROM part WHERE n < (SELECT max(number) >> 14 FROM campaign_metrics)) SELECT n FROM part)`)
}

// created selects since ≤ created_at < until; a zero time is no bound.
func (q *conditions) created(since, until time.Time) {
	if !since.IsZero() {
		q.add("created_at >= ?", timestamp(since))
	}
	if !until.IsZero() {
		q.add("created_at < ?", timestamp(until))
	}
}

// status tells running from stalled, of which the table knows nothing.
func (q *conditions) status(f sinks.Filter) {
	switch {
	case f.Status == aggregate.Stalled && f.IdleSince.IsZero():
		q.add("false")
	case f.Status == aggregate.Stalled:
		q.add("status = 'running' AND updated_at < ?", timestamp(f.IdleSince))
	case f.Status == aggregate.Running && !f.IdleSince.IsZero():
		q.add("status = 'running' AND updated_at >= ?", timestamp(f.IdleSince))
	default:
		q.equal("status", string(f.Status))
	}
}

func (q *conditions) where() string {
	if len(q.terms) == 0 {
		return ""
	}
	return "WHERE " + strings.Join(q.terms, " AND ")
}

// Get returns the record of one run key.
func (s *Store) Get(ctx context.Context, run uuid.UUID) (aggregate.Metrics, bool, error) {
	list, err := s.records(ctx, "WHERE run_key = ?", run.String())
	if err != nil {
		return aggregate.Metrics{}, false, fmt.Errorf("read run: %w", err)
	}
	if len(list) == 0 {
		return aggregate.Metrics{}, false, nil
	}
	return list[0], true, nil
}

// records reads the rows of campaign_metrics that the rest of the statement selects.
func (s *Store) records(ctx context.Context, rest string, args ...any) ([]aggregate.Metrics, error) {
	rows, err := s.reader.QueryContext(ctx, selectMetrics+rest, args...)
	if err != nil {
		return nil, classify(err)
	}
	defer rows.Close()
	var list []aggregate.Metrics
	for rows.Next() {
		m, err := scanMetrics(rows)
		if err != nil {
			return nil, classify(err)
		}
		list = append(list, m)
	}
	return list, classify(rows.Err())
}

// CountDeadLetters counts the open letters that name the run. Those beyond the limit are not among them.
func (s *Store) CountDeadLetters(ctx context.Context, campaignID, runID string) (int64, error) {
	var n int64
	err := s.reader.QueryRowContext(ctx,
		"SELECT count(*) FROM dead_letters WHERE campaign_id = ? AND run_id = ? AND resolved_at IS NULL",
		cleanText(campaignID), cleanText(runID)).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count dead letters: %w", classify(err))
	}
	return n, nil
}
