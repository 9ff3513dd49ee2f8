package events

import (
	"errors"
	"strings"
	"time"
)

// Message is an event as it came over the wire.
type Message struct {
	// Subject ends in the encoded campaign and run; empty where the transport has none, which skips that check.
	Subject string
	// Header is looked at for CloudEvents only. Names are compared without regard to case.
	Header map[string][]string
	Data   []byte
	// Time is when the stream stored the message. An event may lie at most a day ahead of it; zero sets no bound.
	Time time.Time
}

var errNotObject = errors.New("must be exactly one JSON object")

// Decode reads and validates one event. The Rejection is nil where the event is good, and else names every bad field.
// Strings of the event do not share memory with m.Data.
func Decode(m Message) (Event, *Rejection) {
	var e Event
	if rejected := DecodeTo(&e, m); rejected != nil {
		return Event{}, rejected
	}
	return e, nil
}

// DecodeTo is Decode into an event that its caller has, and which must be zero. Where there is a Rejection, the event is not
// to be used. For who keeps many: an event is too large to be copied from hand to hand.
func DecodeTo(e *Event, m Message) *Rejection {
	if len(m.Data) > MaxSize {
		return tooLarge()
	}
	var r reader
	if err := r.object.scan(m.Data); err != nil {
		return &Rejection{Reason: Malformed, Detail: malformedDetail(err)}
	}
	if rejected := r.object.openEnvelope(m.Header); rejected != nil {
		return rejected
	}
	if rejected := r.checkVersion(); rejected != nil {
		return rejected
	}
	r.shared = sharedPool.Get().(*sharedTexts)
	rejected := r.event(e, m.Time)
	sharedPool.Put(r.shared)
	if rejected != nil {
		return rejected
	}
	if e.Type == ExecutionsVoided && m.Header != nil && len(Encode(e)) > MaxSize {
		// Its envelope in the header holds what the payload had no room for, and no store could decode it again.
		return &Rejection{Reason: TooLarge, Detail: "payload and CloudEvents header are over 65536 bytes together"}
	}
	if m.Subject != "" {
		return checkSubject(m.Subject, e)
	}
	return nil
}

func tooLarge() *Rejection {
	return &Rejection{Reason: TooLarge, Detail: "payload is over 65536 bytes"}
}

// malformedDetail is the syntax error without the decoder's prefix. It may quote a repeated name, so it is cut.
func malformedDetail(err error) string {
	if errors.Is(err, errNotObject) {
		return err.Error()
	}
	detail := "not valid JSON: " + strings.TrimPrefix(err.Error(), "jsontext: ")
	return strings.ToValidUTF8(detail[:min(len(detail), 200)], "")
}

func (r *reader) checkVersion() *Rejection {
	version := r.integer(fieldVersion, 0, 1<<53, Version)
	switch {
	case len(r.bad) > 0:
		return &Rejection{Reason: Invalid, Fields: r.bad}
	case version != Version:
		return &Rejection{Reason: UnsupportedVersion, Fields: []FieldError{{"version", "must be 1"}}}
	}
	return nil
}

// event reads the fields in the order of the contract's table, those of the event's type only.
func (r *reader) event(e *Event, stored time.Time) *Rejection {
	e.ID = r.name(fieldID, MaxID)
	e.Type = Type(r.text(fieldType, 64, string(AgentFinished)))
	e.CampaignID = r.name(fieldCampaignID, MaxName)
	e.RunID = r.name(fieldRunID, MaxName)
	e.Phase = r.name(fieldPhase, MaxPhase)
	e.OccurredAt = r.time(fieldOccurredAt, stored)
	switch e.Type {
	case AgentFinished:
		r.agent(e)
		r.execution(e)
	case AgentStarted:
		r.agent(e)
	case RunStarted:
		e.AgentsExpected = r.integer(fieldAgentsExpected, 1, MaxAgents, 0)
	case RunFinished:
		e.Outcome = Outcome(r.oneOf(fieldOutcome, string(OutcomeCompleted),
			string(OutcomeCompleted), string(OutcomeFailed), string(OutcomeCancelled)))
	case RunReported:
		e.Report = r.report(&e.Key)
	case ExecutionsVoided:
		e.Voids = r.ids(fieldVoids)
		e.Reason = r.text(fieldReason, MaxLabel, "")
	default:
		if r.has(fieldType) == stringKind {
			return &Rejection{Reason: UnknownType, Fields: []FieldError{{"type",
				"must be agent.finished, agent.started, run.started, run.finished, run.reported or executions.voided"}}}
		}
	}
	if len(r.bad) > 0 {
		return &Rejection{Reason: Invalid, Fields: r.bad}
	}
	return nil
}

func (r *reader) agent(e *Event) {
	e.AgentID = r.name(fieldAgentID, MaxID)
	e.Attempt = r.integer(fieldAttempt, 1, MaxAttempt, 1)
	e.AgentName = r.text(fieldAgentName, MaxLabel, "")
	e.Model = r.text(fieldModel, MaxLabel, "")
	e.Error = r.text(fieldError, MaxError, "")
}

func (r *reader) execution(e *Event) {
	e.Status = Status(r.oneOf(fieldStatus, "", string(Succeeded), string(Failed), string(Cancelled)))
	e.LatencyMs = r.latency(fieldLatencyMs)
	e.TokensIn = r.integer(fieldTokensIn, 0, MaxCount, 0)
	e.TokensOut = r.integer(fieldTokensOut, 0, MaxCount, 0)
	e.AssetsGenerated = r.integer(fieldAssetsGenerated, 0, MaxCount, 0)
	e.Cost = r.cost(fieldCostUSD, maxCost)
}

// report reads the metrics object. Its names of the run, where given, must be the event's.
func (r *reader) report(key *Key) *Report {
	raw := r.object[fieldMetrics]
	if raw == nil || raw.Kind() != '{' {
		r.refuse(fieldMetrics, "is required and must be an object")
		return nil
	}
	in := reader{prefix: "metrics."}
	// The bytes were valid as part of the message, so scanning them again cannot fail.
	_ = in.object.scan(raw)
	in.same(fieldCampaignID, key.CampaignID)
	in.same(fieldRunID, key.RunID)
	in.same(fieldPhase, key.Phase)
	before := len(in.bad)
	total, successful := in.required(fieldAgentsTotal, MaxCount), in.required(fieldAgentsSuccessful, MaxCount)
	if len(in.bad) == before && successful > total {
		in.refuse(fieldAgentsSuccessful, "must not be greater than agentsTotal")
	}
	p := &Report{
		AgentsTotal:      total,
		AgentsSuccessful: successful,
		AssetsGenerated:  in.required(fieldAssetsGenerated, MaxReported),
		TokensIn:         in.required(fieldTokensIn, MaxReported),
		TokensOut:        in.required(fieldTokensOut, MaxReported),
		Cost:             in.reportedCost(),
		LatencyP95Ms:     in.latency(fieldLatencyP95Ms),
		LatencyAvgMs:     in.latency(fieldLatencyAvgMs),
	}
	r.bad = append(r.bad, in.bad...)
	return p
}

func checkSubject(subject string, e *Event) *Rejection {
	campaignID, runID, err := ParseSubject(subject)
	var bad []FieldError
	switch {
	case err != nil:
		return &Rejection{Reason: SubjectMismatch, Detail: "subject " + errSubject.Error()}
	case campaignID != e.CampaignID:
		bad = append(bad, FieldError{"campaignId", "is not the campaign that the subject names"})
	}
	if runID != e.RunID {
		bad = append(bad, FieldError{"runId", "is not the run that the subject names"})
	}
	if bad == nil {
		return nil
	}
	return &Rejection{Reason: SubjectMismatch, Fields: bad}
}
