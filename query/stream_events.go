package query

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/apexsalesai/runmetrics/aggregate"
)

// eventStream is the type of server-sent events.
const eventStream = "text/event-stream"

// eventWriter writes server-sent events, many at a time.
type eventWriter struct {
	w         http.ResponseWriter
	control   *http.ResponseController
	idleSince func() time.Time

	buffer  []byte
	latest  time.Time // the greatest time of a record so far
	marked  time.Time // that the client has as its id
	written time.Time // when it was sent something last
	err     error     // of the first write that failed
}

// begin is what comes first.
func (o *eventWriter) begin(first []record, ready readiness) {
	o.buffer = append(o.buffer, "retry: 2000\n\n"...)
	for i := range first {
		o.record(&first[i])
	}
	o.event("ready", ready)
}

// record adds an event with a record, as it is to be shown now. Its id follows with the last one of a delivery: who gets
// half of it goes on from before.
func (o *eventWriter) record(r *record) {
	raw := r.raw
	if r.Status == aggregate.Running && r.UpdatedAt.Before(o.idleSince()) {
		raw = bytes.Replace(raw, []byte(`"status":"running"`), []byte(`"status":"stalled"`), 1) // in no text is a bare quote
	}
	o.raw("metrics", raw)
	if r.UpdatedAt.After(o.latest) {
		o.latest = r.UpdatedAt
	}
}

// event adds an event with anything as its data.
func (o *eventWriter) event(name string, data any) {
	raw, err := json.Marshal(data)
	if err != nil {
		o.err = err
		return
	}
	o.raw(name, raw)
}

// raw adds an event with JSON on one line as its data.
func (o *eventWriter) raw(name string, data []byte) {
	o.buffer = append(o.buffer, "event: "...)
	o.buffer = append(o.buffer, name...)
	o.buffer = append(o.buffer, "\ndata: "...)
	o.buffer = append(o.buffer, data...)
	o.buffer = append(o.buffer, "\n\n"...)
}

// comment adds what clients skip.
func (o *eventWriter) comment(text string) {
	o.buffer = append(o.buffer, ": "+text+"\n\n"...)
}

// keptBuffer is how much is written at a time, and how large a buffer may be that a client keeps while there is nothing to
// be sent.
const keptBuffer = 64 << 10

// idLayout has whole microseconds, as every store keeps them.
const idLayout = "2006-01-02T15:04:05.000000Z07:00"

// flush sends what was added, if anything was.
func (o *eventWriter) flush(now time.Time) {
	if len(o.buffer) == 0 || o.err != nil {
		return
	}
	if o.latest.After(o.marked) {
		o.marked = o.latest
		// The event that stands last gets it: the blank line that ends it is moved behind.
		o.buffer = append(o.buffer[:len(o.buffer)-1], "id: "...)
		o.buffer = append(o.latest.UTC().AppendFormat(o.buffer, idLayout), "\n\n"...)
	}
	for part := range slices.Chunk(o.buffer, keptBuffer) {
		if o.err == nil {
			o.err = o.control.SetWriteDeadline(time.Now().Add(stuckTime))
		}
		if o.err == nil {
			_, o.err = o.w.Write(part)
		}
	}
	if o.err == nil {
		o.err = o.control.Flush()
	}
	if o.err == nil {
		o.err = o.control.SetWriteDeadline(time.Time{}) // silence is no fault
	}
	if o.buffer, o.written = o.buffer[:0], now; cap(o.buffer) > keptBuffer {
		o.buffer = nil
	}
}
