package postgres

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/sinks"
)

// List returns records newest first.
func (s *Store) List(ctx context.Context, f sinks.Filter, after *sinks.Cursor, limit int) ([]aggregate.Metrics, error) {
	var q conditions
	q.records(f)
	if after != nil {
		q.add("(created_at, run_key) < (?::timestamptz, ?::uuid)", after.CreatedAt, after.RunKey)
	}
	where := q.where()
	q.args = append(q.args, int64(limit))
	return s.records(ctx, "list runs",
		where+" ORDER BY created_at DESC, run_key DESC LIMIT $"+strconv.Itoa(len(q.args))+"::bigint", q.args...)
}

// conditions are joined by AND. They are constant text, so the statements of a listing are few.
type conditions struct {
	terms []string
	args  []any
}

// add takes a condition with a ? for each argument.
func (q *conditions) add(term string, args ...any) {
	for _, arg := range args {
		q.args = append(q.args, arg)
		term = strings.Replace(term, "?", "$"+strconv.Itoa(len(q.args)), 1)
	}
	q.terms = append(q.terms, term)
}

// filter adds a condition unless the value is empty.
func (q *conditions) filter(column, value string) {
	if value != "" {
		q.equal(column, value)
	}
}

func (q *conditions) equal(column, value string) {
	if cleanText(value) != value {
		q.add("false") // no name is like that, and the server would refuse the question
		return
	}
	q.add(column+" = ?::text", value)
}

// records adds what a filter selects.
func (q *conditions) records(f sinks.Filter) {
	q.filter("campaign_id", f.CampaignID)
	q.runID(f.RunID)
	q.filter("phase", f.Phase)
	q.status(f)
	q.created(f.Since, f.Until)
}

// runID adds an id of runs with the part of the index that each of them may be in.
func (q *conditions) runID(id string) {
	if id == "" {
		return
	}
	q.equal("run_id", id)
	q.add(`number >> 17 = ANY (ARRAY(SELECT generate_series(0,
		(SELECT number >> 17 FROM campaign_metrics ORDER BY number >> 17 DESC LIMIT 1))))`)
}

// created selects since ≤ created_at < until; a zero time is no bound.
func (q *conditions) created(since, until time.Time) {
	if !since.IsZero() {
		q.add("created_at >= ?::timestamptz", since)
	}
	if !until.IsZero() {
		q.add("created_at < ?::timestamptz", until)
	}
}

// status tells running from stalled, of which the table knows nothing.
func (q *conditions) status(f sinks.Filter) {
	switch {
	case f.Status == aggregate.Stalled && f.IdleSince.IsZero():
		q.add("false")
	case f.Status == aggregate.Stalled:
		q.add("status = 'running' AND updated_at < ?::timestamptz", f.IdleSince)
	case f.Status == aggregate.Running && !f.IdleSince.IsZero():
		q.add("status = 'running' AND updated_at >= ?::timestamptz", f.IdleSince)
	default:
		q.filter("status", string(f.Status))
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
	list, err := s.records(ctx, "read run", "WHERE run_key = $1::uuid", run)
	if err != nil || len(list) == 0 {
		return aggregate.Metrics{}, false, err
	}
	return list[0], true, nil
}

// records reads the rows of campaign_metrics that the rest of the statement selects.
func (s *Store) records(ctx context.Context, doing, rest string, args ...any) ([]aggregate.Metrics, error) {
	ctx, done := s.alive(ctx)
	defer done()
	rows, err := s.pool.Query(ctx, selectMetrics+rest, args...)
	if err != nil {
		return nil, failed(doing, err)
	}
	list, err := pgx.CollectRows(rows, scanMetrics)
	if err != nil {
		return nil, failed(doing, err)
	}
	return list, nil
}

// CountDeadLetters counts the open letters that name the run. Those beyond the limit are not among them.
func (s *Store) CountDeadLetters(ctx context.Context, campaignID, runID string) (int64, error) {
	ctx, done := s.alive(ctx)
	defer done()
	var n int64
	err := s.pool.QueryRow(ctx,
		"SELECT count(*) FROM dead_letters WHERE campaign_id = $1::text AND run_id = $2::text AND resolved_at IS NULL",
		cleanText(campaignID), cleanText(runID)).Scan(&n)
	if err != nil {
		return 0, failed("count dead letters", err)
	}
	return n, nil
}
