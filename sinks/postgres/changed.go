package postgres

import (
	"context"
	"time"

	"github.com/apexsalesai/runmetrics/aggregate"
)

// Changed returns the records that were committed since a time, the last committed first.
func (s *Store) Changed(ctx context.Context, since time.Time, limit int) ([]aggregate.Metrics, error) {
	return s.records(ctx, "read what changed",
		"WHERE updated_at >= $1::timestamptz ORDER BY updated_at DESC, run_key DESC LIMIT $2::bigint", since, int64(limit))
}
