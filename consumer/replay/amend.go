package replay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

const (
	// maxTries is how often an amendment is made again on top of what others stored, or after a failure of the store.
	maxTries    = 20
	againAfter  = 100 * time.Millisecond
	againAtMost = 5 * time.Second
)

// settle compares a batch, and amends what differs.
func (c *Comparison) settle(ctx context.Context, b *batch) error {
	list := make([]*judgement, len(b.groups))
	var repairs []*judgement
	for i, g := range b.groups {
		j, err := c.judge(g, b.text, b.held[i])
		if err != nil {
			return err
		}
		b.held[i] = sinks.Holding{} // what it holds in memory may go
		if list[i] = j; !j.repairable || !c.Apply {
			j.forget()
			continue
		}
		repairs = append(repairs, j)
	}
	if err := c.repair(ctx, repairs); err != nil {
		return err
	}
	for _, j := range list {
		c.report(j)
		c.progress.compared.Add(int64(len(j.group.texts)))
	}
	return nil
}

// report counts a run, and tells whoever asked for it what differs.
func (c *Comparison) report(j *judgement) {
	c.Counts.count(j)
	if j.difference != nil && j.difference.Verdict != Sealed && c.Found != nil {
		c.Found(j.difference)
	}
	c.progress.runs.Add(1)
	c.progress.differences.Store(c.Counts.Left())
}

// forget lets go of the memory that only an amendment needs.
func (j *judgement) forget() { j.held, j.added = sinks.Holding{}, nil }

// repair amends runs together, but for those that lack more than fits.
func (c *Comparison) repair(ctx context.Context, list []*judgement) error {
	var together []*judgement
	n := 0
	for _, j := range list {
		lacks := int(j.lacks[0] + j.lacks[1])
		if lacks > maxAdded {
			if err := c.repairLong(ctx, j); err != nil {
				return err
			}
			continue
		}
		if n+lacks > batchEvents {
			if err := c.repairTogether(ctx, together); err != nil {
				return err
			}
			together, n = nil, 0
		}
		together = append(together, j)
		n += lacks
	}
	return c.repairTogether(ctx, together)
}

// repairTogether amends runs in one transaction. What the live pipeline, or a process that was killed, has stored meanwhile
// is read again and compared again.
func (c *Comparison) repairTogether(ctx context.Context, list []*judgement) error {
	for try := 1; len(list) > 0; try++ {
		err := c.amend(ctx, list)
		switch {
		case err == nil:
			for _, j := range list {
				j.done(c)
			}
			return nil
		case errors.Is(err, sinks.ErrRefused) && len(list) > 1:
			half := len(list) / 2
			return errors.Join(c.repairTogether(ctx, list[:half]), c.repairTogether(ctx, list[half:]))
		case errors.Is(err, sinks.ErrRefused):
			list[0].leave(Refused, "the store refuses a value of it")
			list[0].forget()
			return nil
		}
		if err := wait(ctx, err, try); err != nil {
			return err
		}
		if list, err = c.judgeAgain(ctx, list); err != nil {
			return err
		}
	}
	return nil
}

// amend commits what the judgements have added.
func (c *Comparison) amend(ctx context.Context, list []*judgement) error {
	b := &sinks.Batch{At: time.Now().UTC().Truncate(time.Microsecond), Runs: make([]sinks.RunChange, len(list))}
	for i, j := range list {
		b.Runs[i] = c.change(j)
		b.Runs[i].Metrics.UpdatedAt = b.At
		if c.Due != nil {
			b.Runs[i].Due = c.Due()
		}
	}
	if err := c.Store.Amend(ctx, b); err != nil {
		return err
	}
	c.Counts.Added += addedIn(list)
	if c.Committed != nil {
		c.Committed(b)
	}
	return nil
}

func addedIn(list []*judgement) (n int64) {
	for _, j := range list {
		n += int64(len(j.added))
	}
	return n
}

// done notes that a run is what it should be.
func (j *judgement) done(c *Comparison) {
	j.difference.Repaired = true
	j.forget()
}

// wait waits before another try, or returns the error where there is none to be made.
func wait(ctx context.Context, err error, try int) error {
	var conflict *sinks.VersionConflict
	again := errors.As(err, &conflict) || errors.Is(err, sinks.ErrUnavailable) || errors.Is(err, sinks.ErrPositionMoved)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case !again || try == maxTries:
		return err
	case conflict != nil:
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(min(againAfter<<(try-1), againAtMost)):
		return nil
	}
}

// judgeAgain compares runs with what the store holds by now, and returns those that still differ.
func (c *Comparison) judgeAgain(ctx context.Context, list []*judgement) (left []*judgement, err error) {
	keys := make([]events.Key, len(list))
	for i, j := range list {
		keys[i] = j.group.key
	}
	held, err := c.hold(ctx, keys)
	if err != nil {
		return nil, err
	}
	for i, j := range list {
		again, err := c.judge(j.group, j.text, held[i])
		if err != nil {
			return nil, err
		}
		first := *j
		switch *j = *again; {
		case j.difference == nil: // somebody else made it right, or an amendment took place whose answer was lost
			j.difference, j.lacks = first.difference, first.lacks
			j.done(c)
		case j.repairable:
			left = append(left, j)
		default:
			j.forget()
		}
	}
	return left, nil
}

// repairLong amends a run that lacks more events than one amendment takes: in several, each with the record of what is
// there by then.
func (c *Comparison) repairLong(ctx context.Context, j *judgement) error {
	for try := 1; ; try++ {
		held, err := c.hold(ctx, []events.Key{j.group.key})
		if err != nil {
			return err
		}
		if held[0].Sealed {
			j.leave(Sealed, "its executions were pruned")
			j.forget()
			return nil
		}
		j.held, j.next, j.added = held[0], 0, nil
		err = c.amendPieces(ctx, j)
		switch {
		case err == nil:
			j.done(c)
			return nil
		case errors.Is(err, sinks.ErrRefused):
			j.leave(Refused, "the store refuses a value of it")
			j.forget()
			return nil
		}
		if err := wait(ctx, err, try); err != nil {
			return err
		}
	}
}

func (c *Comparison) amendPieces(ctx context.Context, j *judgement) error {
	for more := true; more; {
		j.added = nil
		var err error
		if more, err = c.add(j); err != nil {
			return err
		}
		if err := c.amend(ctx, []*judgement{j}); err != nil {
			return err
		}
		j.held.Version, j.held.Gaps, j.held.Voided = j.held.Version+1, 0, j.held.Run.Voided()
	}
	return nil
}

// hold reads what the store holds of runs, patiently.
func (c *Comparison) hold(ctx context.Context, keys []events.Key) ([]sinks.Holding, error) {
	for try := 1; ; try++ {
		held, err := c.Store.Holdings(ctx, keys)
		if err == nil {
			return held, nil
		}
		if err := wait(ctx, fmt.Errorf("compare: %w", err), try); err != nil {
			return nil, err
		}
	}
}
