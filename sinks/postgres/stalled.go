package postgres

import (
	"context"
	"time"
)

// stallTime is how long a commit waits before it looks who holds it up, and then between two looks.
const stallTime = time.Second

// A client that is frozen or cut off while it sends a commit keeps the locks of what the server has got of it, and the
// server may take hours to notice. Such a session runs a statement and waits for its client all the same; ending it rolls
// back what was never sent in full. It is ended only where somebody else waits for it, and only if it is our own role's.
// Whoever opened a transaction by hand is another matter: between statements that session is not active.
const endStalled = `
SELECT pg_terminate_backend(stalled.pid)
FROM pg_stat_activity waiting
CROSS JOIN LATERAL unnest(pg_blocking_pids(waiting.pid)) AS blocking (pid)
JOIN pg_stat_activity stalled ON stalled.pid = blocking.pid
WHERE waiting.datname = current_database() AND waiting.wait_event_type = 'Lock'
	AND stalled.usename = current_user AND stalled.state = 'active' AND stalled.wait_event = 'ClientRead'
	AND stalled.state_change < clock_timestamp() - interval '2 seconds'`

// notHeldUp ends sessions that hold a commit up, from time to time until stop is called.
func (s *Store) notHeldUp(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var look func()
	look = func() {
		if pool := s.pool.Stat(); pool.AcquiredConns() < pool.MaxConns() { // else it would look when the commit is over
			_, _ = s.pool.Exec(ctx, endStalled) // the commit has a time limit of its own
		}
		if ctx.Err() == nil {
			time.AfterFunc(stallTime, look)
		}
	}
	first := time.AfterFunc(stallTime, look)
	return func() { first.Stop(); cancel() }
}
