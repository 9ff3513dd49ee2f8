package publish

import "time"

// clock measures the time during which there is a connection.
type clock struct {
	before time.Duration
	since  time.Time // zero while it stands still
}

func (c *clock) now(t time.Time) time.Duration {
	if c.since.IsZero() {
		return c.before
	}
	return c.before + t.Sub(c.since)
}

func (c *clock) run(t time.Time, connected bool) {
	if connected == !c.since.IsZero() {
		return
	}
	c.before, c.since = c.now(t), time.Time{}
	if connected {
		c.since = t
	}
}
