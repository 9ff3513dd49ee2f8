package simulation

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/apexsalesai/runmetrics/aggregate/aggregatetest"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// message is one message as the stream holds it.
type message struct {
	sequence uint64
	subject  string
	header   map[string][]string
	data     []byte
	time     time.Time
}

// timeline is what a stream held from its creation until it was made anew.
type timeline struct {
	created  time.Time
	messages []message // sequence i+1 at i
}

// oracle recomputes what must be stored, by brute force, from the messages up to a position. It shares the decoder with
// the pipeline, and nothing else.
type oracle struct {
	runs    map[events.Key]*judged
	letters []string
	kept    map[string]*letterCount // by stream and reason
}

// judged is one run.
type judged struct {
	ids     map[string][]byte // what the first event with this id said
	applied []events.Event
}

// letterCount is what is left of dead letters of one reason.
type letterCount struct {
	kept, dropped int
	first, last   uint64 // dropped
}

func newOracle() *oracle {
	return &oracle{runs: make(map[events.Key]*judged), kept: make(map[string]*letterCount)}
}

// read takes in what a position covers of its timeline, and returns the position as it must be.
func (o *oracle) read(p sinks.Position, t *timeline) sinks.Position {
	want := sinks.Position{Stream: p.Stream, Epoch: p.Epoch, Created: t.created, Sequence: p.Sequence}
	for _, m := range t.messages[:min(p.Sequence, uint64(len(t.messages)))] {
		want.MessageTime = m.time
		e, rejected := events.Decode(events.Message{Subject: m.subject, Header: m.header, Data: m.data, Time: m.time})
		if rejected != nil {
			want.DeadLetters++
			campaign, run, _ := events.ParseSubject(m.subject)
			o.bury(p, m.sequence, m.subject, campaign, run, rejected.Reason, rejected.Field(), m.data)
			continue
		}
		r := o.runs[e.Key]
		if r == nil {
			r = &judged{ids: make(map[string][]byte)}
			o.runs[e.Key] = r
		}
		content := events.Encode(&e)
		first, known := r.ids[e.ID]
		switch {
		case !known:
			want.Applied++
			r.ids[e.ID] = content
			r.applied = append(r.applied, e)
		case bytes.Equal(first, content):
			want.Duplicates++
		default:
			want.DeadLetters++
			o.bury(p, m.sequence, events.Subject(e.CampaignID, e.RunID), e.CampaignID, e.RunID, events.ConflictingDuplicate, "id", content)
		}
	}
	return want
}

// bury notes a dead letter, or beyond the limit only that there was one.
func (o *oracle) bury(p sinks.Position, sequence uint64, subject, campaign, run string, reason events.Reason, field string, payload []byte) {
	id := p.Stream + " " + string(reason)
	c := o.kept[id]
	if c == nil {
		c = &letterCount{}
		o.kept[id] = c
	}
	if c.kept < letterLimit {
		c.kept++
		o.letters = append(o.letters, line(p.Stream, p.Epoch, sequence, subject, campaign, run, reason, field, payload))
		return
	}
	c.dropped++
	c.first, c.last = cmp.Or(c.first, sequence), sequence
}

// tables is what every table must hold, in the form of the queries in check_test.go.
func (o *oracle) tables() map[string][]string {
	all := map[string][]string{"dead_letters": o.letters}
	for id, c := range o.kept {
		first, last := any(c.first), any(c.last)
		if c.dropped == 0 {
			first, last = nil, nil
		}
		all["dead_letter_counts"] = append(all["dead_letter_counts"], line(id, c.kept, c.dropped, first, last))
	}
	for key, r := range o.runs {
		m := aggregatetest.Judge(r.applied)
		all["campaign_metrics"] = append(all["campaign_metrics"], record(m))
		voided := make(map[string]bool)
		for i := range r.applied {
			for _, id := range r.applied[i].Voids {
				voided[id] = true
			}
		}
		for id := range voided {
			all["voided_events"] = append(all["voided_events"], line(key.UUID(), id))
		}
		for i := range r.applied {
			e := &r.applied[i]
			all["event_chunks"] = append(all["event_chunks"], line(key.UUID(), string(events.Encode(e))))
			if e.Type == events.AgentFinished && !voided[e.ID] {
				all["agent_runs"] = append(all["agent_runs"], execution(key, e))
			}
		}
		all["dataverse_outbox"] = append(all["dataverse_outbox"], line(key.UUID(), m.Status != "running"))
	}
	for name := range all {
		slices.Sort(all[name])
	}
	return all
}

// execution is a row of agent_runs.
func execution(key events.Key, e *events.Event) string {
	cost := any(nil)
	if e.Cost.Known {
		cost = int64(e.Cost.Nanos)
	}
	return line(key.UUID(), key.CampaignID, key.RunID, key.Phase, e.ID, e.AgentID, e.Attempt, e.Status, e.LatencyMs, e.TokensIn,
		e.TokensOut, e.AssetsGenerated, cost)
}

// differences lists lines that only one of two sorted lists has.
func differences(table string, got, want []string) string {
	var b strings.Builder
	for len(got) > 0 || len(want) > 0 {
		switch {
		case len(want) == 0 || len(got) > 0 && got[0] < want[0]:
			fmt.Fprintf(&b, "%s has     %s\n", table, got[0])
			got = got[1:]
		case len(got) == 0 || want[0] < got[0]:
			fmt.Fprintf(&b, "%s lacks   %s\n", table, want[0])
			want = want[1:]
		default:
			got, want = got[1:], want[1:]
		}
	}
	return b.String()
}
