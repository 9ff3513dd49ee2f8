package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/consumer"
)

const (
	// refusedTime is how long a refused publication is shown: whoever needs the right asks again before that, unless it
	// was granted meanwhile.
	refusedTime = 30 * time.Second
	// resubscribeTime is after how long a connection with a refused subscription is made anew. NATS judges a subscription
	// once, when it is made.
	resubscribeTime = 15 * time.Second
)

// refusals are the rights that the user of a connection turned out to lack. NATS names them beside the request, which
// gets no answer. The zero value is ready; nil collects nothing.
type refusals struct {
	mu      sync.Mutex
	list    []refused
	readers []*consumer.Reader // each takes what its stream needs and shows it itself

	optional string // a subject that the connection's user may subscribe to or not; set before it connects
}

type refused struct {
	*consumer.Refusal
	at time.Time
}

// note is told all errors of a connection that no call returns.
func (r *refusals) note(conn *nats.Conn, err error) {
	refusal, ok := consumer.RefusalOf(err)
	if r == nil || !ok {
		return
	}
	if refusal.Subscription && refusal.Subject == r.optional {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, reader := range r.readers {
		if reader.Refused(err) {
			return
		}
	}
	if refusal.Subscription && !slices.ContainsFunc(r.list, func(old refused) bool { return old.Subscription }) {
		time.AfterFunc(resubscribeTime, func() { _ = conn.ForceReconnect() }) // one that is closed or reconnecting needs none
	}
	same := func(old refused) bool {
		return old.Subscription == refusal.Subscription && old.Grant() == refusal.Grant()
	}
	r.list = append(slices.DeleteFunc(r.list, same), refused{refusal, time.Now()})
}

// tell gives readers what their streams need.
func (r *refusals) tell(readers []*consumer.Reader) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.readers = readers
}

// forget begins anew: on a new connection every subscription is made again.
func (r *refusals) forget() {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = nil
}

// reasons say what is refused at this time, and no reader shows.
func (r *refusals) reasons() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var reasons []string
	for _, old := range r.list {
		if old.Subscription || time.Since(old.at) < refusedTime {
			reasons = append(reasons, old.Error())
		}
	}
	return reasons
}

// explain puts the refusal in the place of the time limit that a request ran into because of it. Each explains one error.
func (r *refusals) explain(err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := len(r.list) - 1
	if last < 0 || !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, jetstream.ErrAsyncPublishTimeout) {
		return err
	}
	refusal := r.list[last].Refusal
	r.list = r.list[:last]
	return refusal
}
