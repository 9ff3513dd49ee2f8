package consumer

import (
	"bytes"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// item is one message on its way through the pipeline. It is decoded where it arrives, beside the fold and the commit of
// earlier ones.
type item struct {
	place
	bytes int // of payload, roughly as many as it holds on to

	event    events.Event
	rejected *events.Rejection // else the event is good
	subject  string            // of a rejected message only, as is payload
	payload  []byte            // what a dead letter keeps of it

	origin *trace.SpanContext // the sampled span that published it, where spans are made

	outcome outcome // set by the fold
}

// outcome is what became of an item.
type outcome uint8

const (
	applied outcome = iota
	duplicate
	dead   // rejected, or at odds with an event of the same id
	closed // of a run whose events were dropped for good
)

const (
	// maxInbox is how many decoded messages may wait for the fold: enough that decoding goes on while a commit waits for the
	// disk, or for a database that is far away.
	maxInbox = 16_384
	// maxInboxBytes bounds their payload. One message always fits.
	maxInboxBytes = 16 << 20
)

// inbox hands messages from the subscription to the session. Where it is full, the subscription waits and asks for no
// more: who commits sets the pace of who reads.
type inbox struct {
	ready  chan struct{} // holds one token while there may be something to take
	traces bool          // spans are made

	// of the subscription's goroutine alone
	slab  []item  // items are made in blocks and never copied
	spare []*item // used before, to be used again

	mu     sync.Mutex
	done   []*item   // empty ones, whose commit is over
	room   sync.Cond // of mu; told when something is taken, or nothing is any more
	items  []*item
	taken  []*item // what was taken last, whose array is the next one to fill
	bytes  int
	closed bool // nothing is taken any more
}

// slabSize is how many items are allocated at a time. One that is still in use keeps its block alive.
const slabSize = 128

// wakeItems is how many messages of a backlog wake the session at once: waking it for each would cost more than folding
// them.
const wakeItems = 1024

func newInbox(traces bool) *inbox {
	b := &inbox{ready: make(chan struct{}, 1), traces: traces}
	b.room.L = &b.mu
	return b
}

// receive decodes a message and queues it.
func (b *inbox) receive(m jetstream.Msg) {
	at, ok := placeOf(m.Reply())
	if !ok {
		return // not a message of a stream
	}
	header := m.Headers()
	it := b.newItem()
	it.place = at
	it.bytes = len(m.Data())
	it.rejected = events.DecodeTo(&it.event, events.Message{
		Subject: m.Subject(), Header: header, Data: m.Data(), Time: at.time,
	})
	if it.rejected != nil {
		// The rest goes at once: a message may have a mebibyte.
		it.event = events.Event{}
		it.subject, it.payload = m.Subject(), bytes.Clone(m.Data()[:min(it.bytes, sinks.MaxDeadPayload)])
		it.bytes = len(it.payload)
	}
	if b.traces {
		it.origin = originOf(header)
	}
	b.push(it)
}

func (b *inbox) newItem() *item {
	if len(b.spare) == 0 {
		b.mu.Lock()
		b.spare, b.done = b.done, b.spare
		b.mu.Unlock()
	}
	if n := len(b.spare) - 1; n >= 0 {
		it := b.spare[n]
		b.spare = b.spare[:n]
		return it
	}
	if len(b.slab) == 0 {
		b.slab = make([]item, slabSize)
	}
	it := &b.slab[0]
	b.slab = b.slab[1:]
	return it
}

// push queues an item once there is room for it.
func (b *inbox) push(it *item) {
	b.mu.Lock()
	for !b.closed && len(b.items) > 0 && (len(b.items) >= maxInbox || b.bytes+it.bytes > maxInboxBytes) {
		signal(b.ready)
		b.room.Wait()
	}
	if b.closed {
		b.mu.Unlock()
		return
	}
	b.items = append(b.items, it)
	b.bytes += it.bytes
	n, last := len(b.items), it.pending == 0
	b.mu.Unlock() // from here on it is the session's, and may be used again
	switch {
	case last || n%wakeItems == 0:
		signal(b.ready)
	case n == 1:
		// The broker says that more is to come. If it does not come, this wakes the session all the same.
		time.AfterFunc(gatherTime, func() { signal(b.ready) })
	}
}

// giveBack takes items that nobody looks at any more, to be used again: making each anew would be a tenth of all that the
// process allocates. They let go of what they hold at once, as it may be long until they are used.
func (b *inbox) giveBack(items []*item) {
	for _, it := range items {
		*it = item{}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done = append(b.done, items...)
}

// close has the subscription wait for room no longer. What is in the inbox is not taken any more.
func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.room.Broadcast()
}

// take returns the oldest items, up to n of them and up to the one with which they have size bytes. The slice is the
// caller's until the next call.
func (b *inbox) take(n, size int) []*item {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.room.Broadcast()
	clear(b.taken) // or it would hold on to them
	if len(b.items) <= n && b.bytes <= size {
		b.items, b.taken, b.bytes = b.taken[:0], b.items, 0
		return b.taken
	}
	count, left := 0, b.bytes
	for count < min(n, len(b.items)) && b.bytes-left < size {
		left -= b.items[count].bytes
		count++
	}
	b.taken = append(b.taken[:0], b.items[:count]...)
	b.items, b.bytes = slices.Delete(b.items, 0, count), left
	signal(b.ready)
	return b.taken
}
