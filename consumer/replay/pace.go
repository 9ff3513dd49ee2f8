package replay

import (
	"context"
	"time"
)

// Pace holds a rate over all calls of Wait: after a stall it catches up.
type Pace struct {
	PerSecond float64 // 0 sets no bound

	began time.Time // of the first call
	calls int64
}

// Wait returns when it is the time for one more, or the error of the context.
func (p *Pace) Wait(ctx context.Context) error {
	if p.PerSecond == 0 {
		return nil
	}
	if p.calls == 0 {
		p.began = time.Now()
	}
	due := p.began.Add(time.Duration(float64(p.calls) / p.PerSecond * float64(time.Second)))
	p.calls++
	// Timers are coarse; what is due within a millisecond goes now.
	if ahead := time.Until(due); ahead > time.Millisecond {
		select {
		case <-time.After(ahead):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
