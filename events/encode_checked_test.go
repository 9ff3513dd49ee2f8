package events_test

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/apexsalesai/runmetrics/events"
)

// anyEvent draws events of which many are good, many break one rule or several, and some no producer would make.
func anyEvent(t *rapid.T) events.Event {
	text := rapid.OneOf(
		rapid.SampledFrom([]string{"", "a", "run 1", "a.b/🚀", "\"\\{", "null", "\x00", "a\nb", "\xff", strings.Repeat("🚀", 33), strings.Repeat("x", 129)}),
		rapid.StringN(0, 20, -1))
	count := rapid.OneOf(rapid.Int64Range(0, 5), rapid.SampledFrom([]int64{-1, 1e6, 1e6 + 1, 1e9, 1e9 + 1, 1<<31 - 1, 1 << 31, math.MaxInt64, math.MinInt64}))
	at := rapid.SampledFrom([]time.Time{{}, checkedAt, checkedAt.Add(23 * time.Hour), checkedAt.Add(25 * time.Hour),
		checkedAt.Add(1500 * time.Nanosecond), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC)})
	e := events.Event{
		Key: events.Key{CampaignID: text.Draw(t, "campaign"), RunID: text.Draw(t, "run"), Phase: text.Draw(t, "phase")},
		ID:  text.Draw(t, "id"), OccurredAt: at.Draw(t, "occurredAt"),
		Type: rapid.SampledFrom([]events.Type{"", events.AgentFinished, events.AgentStarted, events.RunStarted, events.RunFinished,
			events.RunReported, events.ExecutionsVoided, "agent.exploded", events.Type(strings.Repeat("t", 65))}).Draw(t, "type"),
		AgentID: text.Draw(t, "agent"), Attempt: count.Draw(t, "attempt"), AgentName: text.Draw(t, "name"), Model: text.Draw(t, "model"),
		Error:     rapid.SampledFrom([]string{"", "no", strings.Repeat("e", 2049), strings.Repeat("e", events.MaxSize)}).Draw(t, "error"),
		Status:    rapid.SampledFrom([]events.Status{"", events.Succeeded, events.Failed, "done"}).Draw(t, "status"),
		LatencyMs: count.Draw(t, "latency"), TokensIn: count.Draw(t, "in"), TokensOut: count.Draw(t, "out"), AssetsGenerated: count.Draw(t, "assets"),
		Cost:           events.Cost{Nanos: events.Nanos(count.Draw(t, "nanos")), Known: rapid.Bool().Draw(t, "known")},
		AgentsExpected: count.Draw(t, "expected"), Outcome: rapid.SampledFrom([]events.Outcome{"", events.OutcomeFailed, "won"}).Draw(t, "outcome"),
		Voids: rapid.SliceOfN(text, 0, 3).Draw(t, "voids"), Reason: text.Draw(t, "reason"),
	}
	if rapid.Bool().Draw(t, "reported") {
		e.Report = &events.Report{AgentsTotal: count.Draw(t, "total"), AgentsSuccessful: count.Draw(t, "successful"), TokensIn: count.Draw(t, "in"),
			Cost: events.Nanos(count.Draw(t, "cost")), LatencyP95Ms: count.Draw(t, "p95")}
	}
	return e
}

var checkedAt = time.Date(2026, 2, 14, 14, 47, 8, 0, time.UTC)

func TestEncodeCheckedSaysWhatDecodeWouldSay(t *testing.T) {
	t.Parallel()
	accepted, rejections := 0, map[events.Reason]int{}
	rapid.Check(t, func(t *rapid.T) {
		e := anyEvent(t)
		if rapid.Bool().Draw(t, "mend") {
			e.CampaignID, e.RunID, e.Phase, e.ID, e.AgentID, e.OccurredAt, e.Attempt = "c", "r/ü", "p", "\"id\"", "a", checkedAt, 1
		}
		data, rejected := events.EncodeChecked(&e, checkedAt)
		plain := events.Encode(&e)
		decoded, want := events.Decode(events.Message{Data: plain, Time: checkedAt})
		if !reflect.DeepEqual(rejected, want) {
			t.Fatalf("%s\nrejected %v, Decode says %v", plain, rejected, want)
		}
		if want != nil {
			rejections[want.Reason]++
			return
		}
		accepted++
		again, _ := events.Decode(events.Message{Data: data})
		if !bytes.Equal(data, plain) || !same(again, decoded) {
			t.Fatalf("wrote %s, Encode %s", data, plain)
		}
	})
	// The few events of a short run may all be bad.
	if !testing.Short() && (accepted == 0 || len(rejections) < 2) {
		t.Errorf("the events prove nothing: %d accepted, rejected %v", accepted, rejections)
	}
}

func TestEncodeCheckedNamesEveryBadField(t *testing.T) {
	t.Parallel()
	_, rejected := events.EncodeChecked(&events.Event{ID: "e", OccurredAt: checkedAt, TokensIn: -1}, checkedAt)
	var err error = rejected
	if !errors.As(err, &rejected) || rejected.Error() != "invalid: campaignId is required; runId is required; phase is required; "+
		"agentId is required; attempt must be an integer from 1 to 1000000; status is required and must be succeeded, failed, cancelled; "+
		"tokensIn must be an integer from 0 to 1000000000" {
		t.Errorf("said %v", err)
	}
}
