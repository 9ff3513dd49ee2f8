package events

import (
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Encode writes the event as one line of JSON. Decode of the result gives the same event. Fields that hold their
// default are left out.
func Encode(e *Event) []byte { return e.Append(make([]byte, 0, 384)) }

// EncodeChecked is Encode of an event that Decode accepts at this time, and gives Decode's rejection of any other. It
// applies Decode's rules to the values as they are written, which saves finding them in the text.
func EncodeChecked(e *Event, now time.Time) ([]byte, *Rejection) {
	r := readers.Get().(*reader)
	defer func() {
		*r = reader{texts: r.texts}
		clear(r.texts[:])
		readers.Put(r)
	}()
	w := writer{b: make([]byte, 0, 384), values: &r.object, texts: r.texts}
	w.event(e)
	if len(w.b) > MaxSize {
		return nil, tooLarge()
	}
	if rejected := r.event(new(Event), now); rejected != nil {
		return nil, rejected
	}
	return w.b, nil
}

// readers are empty ones of what is being written. A writer keeps what it is given on the heap, and they are large.
var readers = sync.Pool{New: func() any { return &reader{texts: new([fieldCount]string)} }}

// Append appends what Encode writes to b.
func (e *Event) Append(b []byte) []byte {
	w := writer{b: b}
	w.event(e)
	return w.b
}

func (w *writer) event(e *Event) {
	w.b = append(w.b, '{')
	w.text(fieldID, e.ID)
	w.text(fieldType, string(e.Type))
	w.text(fieldCampaignID, e.CampaignID)
	w.text(fieldRunID, e.RunID)
	w.text(fieldPhase, e.Phase)
	w.name(fieldOccurredAt)
	w.b = append(w.b, '"')
	w.b = e.OccurredAt.UTC().AppendFormat(w.b, time.RFC3339Nano)
	w.b = append(w.b, '"')
	w.agent(e)
	w.run(e)
	w.note()
	w.b = append(w.b, '}')
}

// writer appends the properties of one object.
type writer struct {
	b      []byte
	values *object             // where they are noted besides, nil: they are not
	texts  *[fieldCount]string // where strings are noted as they are, as values

	field field // the one being written
	begin int   // of its value in b, 0 before the first
}

// note keeps the value that was just written. Appending may move b, but not change what stands there.
func (w *writer) note() {
	if w.values != nil && w.begin > 0 {
		w.values[w.field] = w.b[w.begin:]
	}
}

func (w *writer) agent(e *Event) {
	finished := e.Type == AgentFinished || e.Type == "" // the default
	if !finished && e.Type != AgentStarted {
		return
	}
	w.text(fieldAgentID, e.AgentID)
	w.integer(fieldAttempt, e.Attempt, 1)
	if finished {
		w.text(fieldStatus, string(e.Status))
		w.integer(fieldLatencyMs, e.LatencyMs, -1)
		w.integer(fieldTokensIn, e.TokensIn, 0)
		w.integer(fieldTokensOut, e.TokensOut, 0)
		w.integer(fieldAssetsGenerated, e.AssetsGenerated, 0)
		w.cost(e.Cost)
	}
	w.text(fieldAgentName, e.AgentName)
	w.text(fieldModel, e.Model)
	w.text(fieldError, e.Error)
}

func (w *writer) run(e *Event) {
	switch e.Type {
	case RunStarted:
		w.integer(fieldAgentsExpected, e.AgentsExpected, 0)
	case RunFinished:
		w.text(fieldOutcome, string(e.Outcome))
	case RunReported:
		if e.Report != nil {
			w.name(fieldMetrics)
			inside := writer{b: w.b}
			inside.report(e.Report)
			w.b = inside.b
		}
	case ExecutionsVoided:
		if len(e.Voids) > 0 {
			w.name(fieldVoids)
			w.list(e.Voids)
		}
		w.text(fieldReason, e.Reason)
	}
}

func (w *writer) list(ids []string) {
	for i, id := range ids {
		w.b = append(w.b, "[,"[min(i, 1)])
		w.quote(id)
	}
	w.b = append(w.b, ']')
}

func (w *writer) report(r *Report) {
	w.b = append(w.b, '{')
	w.integer(fieldAgentsTotal, r.AgentsTotal, -1)
	w.integer(fieldAgentsSuccessful, r.AgentsSuccessful, -1)
	w.integer(fieldAssetsGenerated, r.AssetsGenerated, -1)
	w.integer(fieldTokensIn, r.TokensIn, -1)
	w.integer(fieldTokensOut, r.TokensOut, -1)
	w.cost(USD(r.Cost))
	w.integer(fieldLatencyP95Ms, r.LatencyP95Ms, -1)
	w.integer(fieldLatencyAvgMs, r.LatencyAvgMs, -1)
	w.b = append(w.b, '}')
}

func (w *writer) name(f field) {
	w.note()
	if w.b[len(w.b)-1] != '{' {
		w.b = append(w.b, ',')
	}
	w.b = append(w.b, '"')
	w.b = append(w.b, fieldNames[f]...)
	w.b = append(w.b, '"', ':')
	w.field, w.begin = f, len(w.b)
}

// text leaves an empty string out: no property tells it from an absent one.
func (w *writer) text(f field, s string) {
	if s == "" {
		return
	}
	w.name(f)
	w.quote(s)
	if w.texts != nil {
		w.texts[f] = s
	}
}

func (w *writer) quote(s string) { w.b = AppendQuoted(w.b, s) }

// AppendQuoted appends s as a JSON string. Bytes that are not UTF-8 become U+FFFD, which no decoded event has.
func AppendQuoted(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s) // the only error is the replaced bytes
	return b
}

func (w *writer) integer(f field, n, absent int64) {
	if n != absent {
		w.name(f)
		w.b = strconv.AppendInt(w.b, n, 10)
	}
}

func (w *writer) cost(c Cost) {
	if c.Known {
		w.name(fieldCostUSD)
		w.b = c.Nanos.Append(w.b)
	}
}
