package sqlite

import (
	"context"
	"fmt"

	"github.com/apexsalesai/runmetrics/sinks"
)

// Undelivered returns runs whose newest version is above the delivered one, those marked first first.
func (s *Store) Undelivered(ctx context.Context, limit int) ([]sinks.Mark, error) {
	marks, err := s.undelivered(ctx, limit)
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", classify(err))
	}
	return marks, nil
}

func (s *Store) undelivered(ctx context.Context, limit int) ([]sinks.Mark, error) {
	rows, err := s.reader.QueryContext(ctx, `
SELECT run_key, version FROM dataverse_outbox WHERE version > delivered ORDER BY marked_at, run_key LIMIT ?`, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var marks []sinks.Mark
	for rows.Next() {
		var m sinks.Mark
		if err := rows.Scan(&m.RunKey, &m.Version); err != nil {
			return nil, err
		}
		marks = append(marks, m)
	}
	return marks, rows.Err()
}

// Delivered records that the copy has these versions. One above the newest, from before the store was restored to an
// earlier point, counts as the newest only: the version will come again, with other content.
func (s *Store) Delivered(ctx context.Context, marks []sinks.Mark) error {
	if err := s.deliver(ctx, marks); err != nil {
		return fmt.Errorf("mark delivered: %w", classify(err))
	}
	return nil
}

func (s *Store) deliver(ctx context.Context, marks []sinks.Mark) error {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // of no effect once committed
	update, err := tx.PrepareContext(ctx,
		"UPDATE dataverse_outbox SET delivered = max(delivered, min(version, ?)) WHERE run_key = ?")
	if err != nil {
		return err
	}
	for _, m := range marks {
		if _, err := update.ExecContext(ctx, m.Version, m.RunKey.String()); err != nil {
			return err
		}
	}
	return tx.Commit()
}
