package consumer_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// limitsOf is a ledger that notes how much time a load is given.
type limitsOf struct {
	sinks.Ledger
	loads chan time.Duration
}

func (l limitsOf) Load(ctx context.Context, at sinks.Position, runs []events.Key) (map[uuid.UUID]sinks.StoredRun, error) {
	deadline, _ := ctx.Deadline()
	l.loads <- time.Until(deadline)
	return l.Ledger.Load(ctx, at, runs)
}

// TestReadingARunBackMayTakeMinutes: a run of a million executions behind a slow line is read whole or never.
func TestReadingARunBackMayTakeMinutes(t *testing.T) {
	b, store := startBroker(t), openSQLite(t)
	list := history(10)
	r := b.startReader(t, store)
	waitCommitted(t, b, store, b.publish(t, messagesOf(list[:9])...))
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	ledger := limitsOf{store, make(chan time.Duration, 1)}
	b.startReader(t, ledger)
	late := list[0]
	late.ID = "late"
	last := b.publish(t, messageOf(&late))
	if limit := <-ledger.loads; limit < 2*time.Minute {
		t.Errorf("a load is given %s", limit)
	}
	waitCommitted(t, b, store, last)
	expect(t, store, append(list[:9], late))
}
