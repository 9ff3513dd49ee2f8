package main

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
)

func TestLoadIsAFunctionOfSeedAndIndex(t *testing.T) {
	t.Parallel()
	l := load{Seed: 7, Runs: 3, Agents: 20}
	var inOrder []events.Event
	for e := range l.All(500) {
		inOrder = append(inOrder, e)
	}
	ids := make(map[string]bool)
	for _, i := range rand.Perm(500) {
		e := l.At(i)
		if !reflect.DeepEqual(e, inOrder[i]) {
			t.Fatalf("event %d: %+v, in order %+v", i, e, inOrder[i])
		}
		ids[e.ID] = true
		decoded, rejected := events.Decode(events.Message{Data: events.Encode(&e), Subject: events.Subject(e.CampaignID, e.RunID)})
		if rejected != nil || !reflect.DeepEqual(decoded, e) {
			t.Fatalf("event %d does not survive the wire: %v\n%+v\n%+v", i, rejected, e, decoded)
		}
	}
	if len(ids) != 500 {
		t.Errorf("%d ids for 500 events", len(ids))
	}
	other := load{Seed: 8, Runs: 3, Agents: 20}
	if other.At(100).ID == l.At(100).ID {
		t.Error("another seed makes the same events")
	}
}

// foldAll is what a store must hold after the events.
func foldAll(list []events.Event) map[events.Key]aggregate.Metrics {
	runs := make(map[events.Key]*aggregate.Run)
	for i := range list {
		run := runs[list[i].Key]
		if run == nil {
			run = aggregate.NewRun(list[i].Key)
			runs[list[i].Key] = run
		}
		run.Apply(&list[i])
	}
	metrics := make(map[events.Key]aggregate.Metrics)
	for key, run := range runs {
		metrics[key] = run.Metrics()
	}
	return metrics
}

func TestLoadLooksLikeRuns(t *testing.T) {
	t.Parallel()
	l := load{Seed: 1, Runs: 4, Agents: 200}
	var list []events.Event
	for e := range l.All(8 * l.perRun()) {
		list = append(list, e)
	}
	metrics := foldAll(list)
	if len(metrics) != 8 {
		t.Fatalf("%d runs, want 8", len(metrics))
	}
	for key, m := range metrics {
		retried := *m.Executions - m.AgentsTotal
		switch {
		case m.Status != aggregate.Completed || m.AgentsTotal != 200 || *m.AgentsMissing != 0:
			t.Errorf("%v: %+v", key, m)
		case retried != 25:
			t.Errorf("%v: %d retries, want one for every eighth agent", key, retried)
		case m.AgentsFailed < 1 || m.AgentsFailed > 15:
			t.Errorf("%v: %d of 25 retried agents failed, want about 5", key, m.AgentsFailed)
		case *m.LatencyP95Ms < 2**m.LatencyP50Ms || *m.LatencyP50Ms < 1000 || *m.LatencyP50Ms > 4000:
			t.Errorf("%v: latencies p50 %d, p95 %d", key, *m.LatencyP50Ms, *m.LatencyP95Ms)
		case m.TokensIn == 0 || m.TokensOut == 0 || m.AssetsGenerated == 0 || m.CostUSD.Nanos().Sign() == 0:
			t.Errorf("%v: nothing was spent or made", key)
		}
	}
}

func TestLoadInterleavesItsRuns(t *testing.T) {
	t.Parallel()
	l := load{Seed: 1, Runs: 5, Agents: 10}
	seen := make(map[string]bool)
	for i := range 5 {
		seen[l.At(i).RunID] = true
	}
	if len(seen) != 5 {
		t.Errorf("the first 5 events are of %d runs", len(seen))
	}
	if next := l.At(5 * l.perRun()); seen[next.RunID] || next.Type != events.RunStarted {
		t.Errorf("after five whole runs comes %+v", next)
	}
}

func TestLoadOfTinyRunsHasNoRetries(t *testing.T) {
	t.Parallel()
	l := load{Seed: 1, Runs: 1, Agents: 1}
	types := []events.Type{l.At(0).Type, l.At(1).Type, l.At(2).Type, l.At(3).Type}
	want := []events.Type{events.RunStarted, events.AgentFinished, events.RunFinished, events.RunStarted}
	if !reflect.DeepEqual(types, want) {
		t.Errorf("%v", types)
	}
}

func TestLoadRepeatsTheShareThatIsAskedFor(t *testing.T) {
	t.Parallel()
	l := load{Seed: 3, Runs: 2, Agents: 50, Duplicates: 10}
	first := make(map[string]events.Event)
	total, repeated := 0, 0
	for e, again := range l.All(5000) {
		total++
		if !again {
			first[e.ID] = e
			continue
		}
		repeated++
		if !reflect.DeepEqual(first[e.ID], e) {
			t.Fatalf("a repetition of something else: %+v", e)
		}
	}
	if repeated < 400 || repeated > 600 || total != 5000+repeated || l.Len(5000) != total {
		t.Errorf("%d of 5000 repeated, %d in all, said to be %d", repeated, total, l.Len(5000))
	}
}
