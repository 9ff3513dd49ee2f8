package replay

import (
	"context"
	"fmt"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/sinks"
)

// Rebuild compares records with what their own stored events add up to, without any source, as it is needed when a
// definition changes. It ends as Run does.
func (c *Comparison) Rebuild(ctx context.Context, f sinks.RecordFilter) error {
	c.progress.comparing.Store(true)
	pace := Pace{PerSecond: c.Rate}
	for {
		page, err := c.Store.Records(ctx, f, c.Place.After, batchRuns)
		if err != nil {
			return fmt.Errorf("rebuild: %w", err)
		}
		if len(page) == 0 {
			return nil
		}
		if err := c.rebuild(ctx, page, &pace); err != nil {
			return err
		}
		c.Place.After = page[len(page)-1].RunKey
		c.settled()
	}
}

// rebuild compares the runs of a page, as many at a time as have so many executions as a batch may have.
func (c *Comparison) rebuild(ctx context.Context, page []aggregate.Metrics, pace *Pace) error {
	for len(page) > 0 {
		var groups []*group
		for n := int64(0); len(groups) < len(page); {
			m := &page[len(groups)]
			if m.Key().UUID() != m.RunKey {
				break
			}
			if m.Executions != nil {
				n += *m.Executions
			}
			if len(groups) > 0 && n > batchEvents {
				break
			}
			groups = append(groups, &group{key: m.Key(), id: m.RunKey})
		}
		if misnamed := &page[0]; misnamed.Key().UUID() != misnamed.RunKey {
			c.misnamed(misnamed)
			page = page[1:]
			continue
		}
		page = page[len(groups):]
		b := &batch{groups: groups}
		for range groups {
			if err := pace.Wait(ctx); err != nil {
				return err
			}
		}
		var err error
		if b.held, err = c.hold(ctx, b.keys()); err != nil {
			return err
		}
		if err := c.settle(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// misnamed notes a record that does not have the names of its key: which run it is of only the events know.
func (c *Comparison) misnamed(m *aggregate.Metrics) {
	d := newDifference(Damaged, m.Key(), m.RunKey, "its names are not those of its key: replay them from a stream or an archive")
	c.report(&judgement{difference: d})
}
