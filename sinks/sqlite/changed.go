package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/apexsalesai/runmetrics/aggregate"
)

// Changed returns the records that were committed since a time, the last committed first.
func (s *Store) Changed(ctx context.Context, since time.Time, limit int) ([]aggregate.Metrics, error) {
	list, err := s.records(ctx, "WHERE updated_at >= ? ORDER BY updated_at DESC, run_key DESC LIMIT ?", timestamp(since), limit)
	if err != nil {
		return nil, fmt.Errorf("read what changed: %w", err)
	}
	return list, nil
}
