package replay

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// History is what is known of a source's past. That of a file is empty.
type History struct {
	First     uint64    // sequence of the first message that a stream still holds, 0 of a file
	FirstTime time.Time // when that was stored
	Recreated bool      // the store has read another stream of this name before
}

// Comparison compares runs of sources with what is stored of them, and amends that. Set the fields, and call Run once.
type Comparison struct {
	Store sinks.Repairs
	// Sources hold the events of the runs. Of events that share an id but not their content the stored one stands, else the
	// first one: sources go before those behind them.
	Sources   []Source
	Histories []History // of each source
	// Select, where it is not empty, chooses the runs: those with an event in one of these sources, of which all events of
	// Sources count.
	Select []Source
	Chosen *Chosen // filled from Select; required with it

	Apply           bool          // amend what may be amended
	AcceptTruncated bool          // Truncated runs, too
	IdleTimeout     time.Duration // a run that begins this soon after a stream's first message may be Truncated
	Rate            float64       // events a second that are read and compared at the most; 0 sets no bound

	// Found is told each run that is not equal, sealed ones aside, once all that is to be done about it is done.
	Found func(*Difference)
	// Committed is told each amendment.
	Committed func(*sinks.Batch)
	// Due says when the copy of the next run that is amended is due; nil is at once.
	Due func() time.Time
	// Settled is told when all runs of a part, or of a page of a rebuild, are settled: Place and Counts are of then.
	Settled func()

	Place  Place
	Counts Counts

	progress progress
	events   []events.Event // spare
	chunk    []byte         // likewise
}

// Place is how far a comparison is. The zero Place is its beginning.
type Place struct {
	Parts int       `json:"parts,omitempty"` // how many the runs are sorted into; set it before Run
	Done  int       `json:"done,omitempty"`  // parts that are settled
	After uuid.UUID `json:"after,omitzero"`  // of a rebuild: the last run that is settled
}

// PartsFor is how many parts suit sources of about so many bytes.
func PartsFor(bytes int64) int { return partsFor(bytes) }

// Counts is what was read and found.
type Counts struct {
	Messages int64                   `json:"messages"` // that were read, or lines
	Refused  map[events.Reason]int64 `json:"refused"`  // of those: that are no events

	Runs          int64 `json:"runs"`
	Equal         int64 `json:"equal"`
	Missing       int64 `json:"missing"`
	Different     int64 `json:"different"`
	Truncated     int64 `json:"truncated"`
	BeginningGone int64 `json:"beginningGone"`
	Incomplete    int64 `json:"incomplete"`
	Sealed        int64 `json:"sealed"`
	Damaged       int64 `json:"damaged"`
	StoreRefuses  int64 `json:"storeRefuses"`

	MissingEvents int64 `json:"missingEvents"` // that the store lacked
	Repaired      int64 `json:"repaired"`      // runs that were not equal and are now
	Added         int64 `json:"added"`         // events that were committed
}

// Left is how many runs still differ.
func (n *Counts) Left() int64 {
	return n.Missing + n.Different + n.Truncated + n.BeginningGone + n.Incomplete + n.Damaged + n.StoreRefuses - n.Repaired
}

func (n *Counts) count(j *judgement) {
	n.Runs++
	n.MissingEvents += j.lacks[0] + j.lacks[1]
	if j.difference == nil {
		n.Equal++
		return
	}
	*map[Verdict]*int64{Missing: &n.Missing, Different: &n.Different, Truncated: &n.Truncated, BeginningGone: &n.BeginningGone,
		Incomplete: &n.Incomplete, Sealed: &n.Sealed, Damaged: &n.Damaged, Refused: &n.StoreRefuses}[j.difference.Verdict]++
	if j.difference.Repaired {
		n.Repaired++
	}
}

// progress is counted while others look.
type progress struct {
	read, gathered, compared, runs, differences atomic.Int64
	comparing                                   atomic.Bool
}

// Progress is how far a comparison is at the moment.
type Progress struct {
	Comparing   bool  // else it reads its sources
	Read        int64 // messages
	Gathered    int64 // events that will be compared, as far as they were read
	Compared    int64 // events whose runs were compared
	Runs        int64 // that were compared
	Differences int64 // that are left
}

// Progress may be asked at any time.
func (c *Comparison) Progress() Progress {
	p := &c.progress
	return Progress{Comparing: p.comparing.Load(), Read: p.read.Load(), Gathered: p.gathered.Load(), Compared: p.compared.Load(), Runs: p.runs.Load(),
		Differences: p.differences.Load()}
}

// Run reads the sources, sorts their events by run, and compares run by run. When it returns an error, also that of the
// context, all up to Place is settled, and a comparison that begins there goes on. What was amended behind that place is
// found to be equal then.
func (c *Comparison) Run(ctx context.Context) (err error) {
	if c.Counts.Refused == nil {
		c.Counts.Refused = make(map[events.Reason]int64)
	}
	if err := c.choose(ctx); err != nil {
		return err
	}
	spool, err := newSpool(max(1, c.Place.Parts))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, spool.close()) }()
	if err := c.gather(ctx, spool); err != nil {
		return err
	}
	c.progress.comparing.Store(true)
	return c.compare(ctx, spool)
}

// choose finds the runs that are compared.
func (c *Comparison) choose(ctx context.Context) error {
	for _, source := range c.Select {
		err := source.Read(ctx, func(r *Record) error {
			c.progress.read.Add(1)
			if r.Rejected == nil {
				c.Chosen.add(r.Event.Key)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// gather sorts the events of all sources by run. Runs of parts that were settled before are left out.
func (c *Comparison) gather(ctx context.Context, spool *spool) error {
	c.Counts.Messages, c.Counts.Refused = 0, make(map[events.Reason]int64)
	pace := Pace{PerSecond: c.Rate}
	var names []byte
	for i, source := range c.Sources {
		err := source.Read(ctx, func(r *Record) error {
			c.progress.read.Add(1)
			c.Counts.Messages++
			if r.Rejected != nil {
				c.Counts.Refused[r.Rejected.Reason]++
				return nil
			}
			if c.Chosen != nil && !c.Chosen.Has(r.Event.Key) {
				return nil
			}
			if names = appendNames(names[:0], r.Event.Key); partOf(names, len(spool.parts)) < c.Place.Done {
				return nil
			}
			if err := pace.Wait(ctx); err != nil {
				return err
			}
			c.progress.gathered.Add(1)
			return spool.add(i, r)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// compare goes through the parts. What is held of the next runs is read while those before are compared.
func (c *Comparison) compare(ctx context.Context, spool *spool) error {
	work, ctx := errgroup.WithContext(ctx)
	held := make(chan *batch)
	work.Go(func() error {
		defer close(held)
		return c.load(ctx, spool, held)
	})
	work.Go(func() error {
		for b := range held {
			if err := c.settle(ctx, b); err != nil {
				return err
			}
			if b.last {
				c.Place.Done++
				c.settled()
			}
		}
		return ctx.Err()
	})
	return work.Wait()
}

func (c *Comparison) settled() {
	if c.Settled != nil {
		c.Settled()
	}
}

// load reads parts, and what the store holds of their runs.
func (c *Comparison) load(ctx context.Context, spool *spool, out chan<- *batch) error {
	pace := Pace{PerSecond: c.Rate}
	for at := c.Place.Done; at < len(spool.parts); at++ {
		text, err := spool.read(at, nil)
		if err != nil {
			return err
		}
		lists := batches(groupRuns(text))
		for i, groups := range lists {
			b := &batch{groups: groups, text: text, last: i == len(lists)-1}
			if b.held, err = c.hold(ctx, b.keys()); err != nil {
				return err
			}
			for _, g := range groups {
				for range g.texts {
					if err := pace.Wait(ctx); err != nil {
						return err
					}
				}
			}
			select {
			case out <- b:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if len(lists) == 0 {
			select {
			case out <- &batch{last: true}:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}
