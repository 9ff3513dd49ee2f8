package sinks

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/apexsalesai/runmetrics/events"
)

// A chunk holds the events that one commit applied to one run, as a JSON array that both databases can take apart in
// plain SQL. An execution is an array of columns; any other event is the object that the wire carries. Views name the
// columns: what stands at which place is part of the schema.
//
//	[id, agentId, attempt, status, occurredAt, latencyMs, tokensIn, tokensOut, assetsGenerated, cost, agentName, model, error]
//
// occurredAt is microseconds since 1970, cost is nano-dollars or null. Empty strings at the end are left out.

// AppendChunk appends the stored form of the events to b.
func AppendChunk(b []byte, list []*events.Event) []byte {
	b = slices.Grow(b, roomFor(list))
	for i, e := range list {
		b = append(b, "[,"[min(i, 1)])
		if e.Type == events.AgentFinished {
			b = appendExecution(b, e)
		} else {
			b = e.Append(b)
		}
	}
	if len(list) == 0 {
		b = append(b, '[')
	}
	return append(b, ']')
}

// roomFor is about what executions take. Events lie far apart in memory, among those of other runs: looked at here one right
// behind the other, they are fetched at the same time, which takes less than to wait for each when its turn comes.
func roomFor(list []*events.Event) (size int) {
	const numbers = 110
	for _, e := range list {
		size += numbers + len(e.ID) + len(e.AgentID) + len(e.AgentName) + len(e.Model) + len(e.Error)
	}
	return size
}

func appendExecution(b []byte, e *events.Event) []byte {
	b = events.AppendQuoted(append(b, '['), e.ID)
	b = events.AppendQuoted(append(b, ','), e.AgentID)
	b = strconv.AppendInt(append(b, ','), e.Attempt, 10)
	b = events.AppendQuoted(append(b, ','), string(e.Status))
	for _, n := range [...]int64{e.OccurredAt.UnixMicro(), e.LatencyMs, e.TokensIn, e.TokensOut, e.AssetsGenerated} {
		b = strconv.AppendInt(append(b, ','), n, 10)
	}
	if e.Cost.Known {
		b = strconv.AppendInt(append(b, ','), int64(e.Cost.Nanos), 10)
	} else {
		b = append(b, ",null"...)
	}
	texts := [...]string{e.AgentName, e.Model, e.Error}
	n := len(texts)
	for n > 0 && texts[n-1] == "" {
		n--
	}
	for _, s := range texts[:n] {
		b = events.AppendQuoted(append(b, ','), s)
	}
	return append(b, ']')
}

// DecodeChunk appends the events of a chunk of the given run to list. An error means that the store was tampered with.
func DecodeChunk(list []events.Event, key events.Key, chunk []byte) ([]events.Event, error) {
	err := VisitChunk(key, chunk, func(e *events.Event) error {
		list = append(list, *e)
		return nil
	})
	return list, err
}

// VisitChunk visits the events of a chunk of the given run one by one: each is the visitor's for the visit only, its texts
// for ever. An error that is not of visit means that the store was tampered with, and is ErrBlocked.
func VisitChunk(key events.Key, chunk []byte, visit func(e *events.Event) error) error {
	d := jsontext.NewDecoder(bytes.NewBuffer(chunk))
	array := columns{d: d}
	if array.begin(); array.err != nil {
		return fmt.Errorf("%w: decode stored events: %w", ErrBlocked, array.err)
	}
	var e events.Event
	for n := 0; d.PeekKind() == '[' || d.PeekKind() == '{'; n++ {
		var err error
		if e, err = decodeStored(d, key); err != nil {
			return fmt.Errorf("%w: decode stored event %d: %w", ErrBlocked, n, err)
		}
		if err := visit(&e); err != nil {
			return err
		}
	}
	if array.end(); array.err != nil {
		return fmt.Errorf("%w: decode stored events: %w", ErrBlocked, array.err)
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return fmt.Errorf("%w: decode stored events: text after the end", ErrBlocked)
	}
	return nil
}

func decodeStored(d *jsontext.Decoder, key events.Key) (events.Event, error) {
	if d.PeekKind() == '[' {
		return decodeExecution(d, key)
	}
	raw, err := d.ReadValue()
	if err != nil {
		return events.Event{}, err
	}
	e, rejected := events.Decode(events.Message{Data: raw})
	if rejected != nil {
		return events.Event{}, rejected
	}
	if e.Key != key {
		return events.Event{}, errors.New("belongs to another run")
	}
	return e, nil
}

func decodeExecution(d *jsontext.Decoder, key events.Key) (events.Event, error) {
	e := events.Event{Key: key, Type: events.AgentFinished}
	r := columns{d: d}
	r.begin()
	e.ID, e.AgentID, e.Attempt = r.text(), r.text(), r.integer()
	e.Status = events.Status(r.text())
	e.OccurredAt = time.UnixMicro(r.integer()).UTC()
	e.LatencyMs, e.TokensIn, e.TokensOut, e.AssetsGenerated = r.integer(), r.integer(), r.integer(), r.integer()
	if r.null() {
		e.Cost = events.Cost{}
	} else {
		e.Cost = events.USD(events.Nanos(r.integer()))
	}
	for _, s := range []*string{&e.AgentName, &e.Model, &e.Error} {
		if d.PeekKind() == '"' {
			*s = r.text()
		}
	}
	r.end()
	return e, r.err
}

// columns reads one array from left to right and remembers the first error.
type columns struct {
	d   *jsontext.Decoder
	err error
}

func (r *columns) token(want jsontext.Kind) jsontext.Token {
	if r.err != nil {
		return jsontext.Null
	}
	t, err := r.d.ReadToken()
	if err == nil && t.Kind() != want {
		err = fmt.Errorf("found %v where %v was stored", t.Kind(), want)
	}
	r.err = err
	return t
}

func (r *columns) begin() { r.token('[') }
func (r *columns) end()   { r.token(']') }

func (r *columns) text() string {
	if t := r.token('"'); r.err == nil {
		return t.String()
	}
	return ""
}

func (r *columns) integer() int64 {
	t := r.token('0')
	if r.err != nil {
		return 0
	}
	n, err := t.Int()
	r.err = err
	return n
}

func (r *columns) null() bool {
	if r.err != nil || r.d.PeekKind() != 'n' {
		return false
	}
	r.token('n')
	return true
}
