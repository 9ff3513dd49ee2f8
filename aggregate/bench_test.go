package aggregate_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
)

// names makes n strings of 36 characters, as most producers' ids are.
func names(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = uuid.NewString()
	}
	return list
}

// executions calls do with one execution for each id, each of another agent. The event is only valid during the call.
func executions(ids, agents []string, do func(*events.Event)) {
	e := finished("", "", 1, events.Succeeded, 0)
	for i := range ids {
		e.ID, e.AgentID = ids[i], agents[i]
		e.LatencyMs = int64(i*7919) % 60_000 // no order
		e.OccurredAt = after(i % 3600)
		do(&e)
	}
}

// The cost of an event must not grow with the run, but for what a bigger heap costs any program.
func BenchmarkApply(b *testing.B) {
	for _, size := range []int{1, 10, 1_000, 1_000_000} {
		b.Run(fmt.Sprintf("executions=%d", size), func(b *testing.B) {
			ids, agents := names(size), names(size)
			b.ReportAllocs()
			runs := 0
			for b.Loop() {
				runs++
				r := aggregate.NewRun(key)
				executions(ids, agents, func(e *events.Event) { r.Apply(e) })
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(runs*size), "ns/event")
		})
	}
}

// A committer computes the record after each batch, however small.
func BenchmarkMetrics(b *testing.B) {
	for _, size := range []int{10, 1_000, 1_000_000} {
		b.Run(fmt.Sprintf("executions=%d", size), func(b *testing.B) {
			r := aggregate.NewRun(key)
			executions(names(size), names(size), func(e *events.Event) { r.Apply(e) })
			b.ReportAllocs()
			for b.Loop() {
				r.Metrics()
			}
		})
	}
}

// measure builds runs of the given size until there are enough executions to measure, and returns the bytes of heap that
// one execution holds and what Size says of it. Every execution is of another agent.
func measure(size, total int) (held, estimated float64) {
	ids, agents := names(total), names(total)
	var runs []*aggregate.Run
	before := heap()
	for at := 0; at < total; at += size {
		r := aggregate.NewRun(key)
		executions(ids[at:at+size], agents[at:at+size], func(e *events.Event) {
			// A decoded event has strings of its own.
			e.ID, e.AgentID = strings.Clone(e.ID), strings.Clone(e.AgentID)
			r.Apply(e)
		})
		runs = append(runs, r)
	}
	held = float64(heap()-before) / float64(total)
	for _, r := range runs {
		estimated += float64(r.Size())
	}
	runtime.KeepAlive(ids)
	runtime.KeepAlive(agents)
	return held, estimated / float64(total)
}

func heap() uint64 {
	runtime.GC()
	runtime.GC() // what pools gave up in the first is gone after the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkMemory is where the figures of the package comment and of Size come from.
func BenchmarkMemory(b *testing.B) {
	for _, size := range []int{10, 1_000, 1_000_000} {
		b.Run(fmt.Sprintf("executions=%d", size), func(b *testing.B) {
			var held, estimated float64
			for b.Loop() {
				held, estimated = measure(size, 1_000_000)
			}
			b.ReportMetric(held, "B/execution")
			b.ReportMetric(estimated, "Size/execution")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// Not parallel: other tests would be measured too.
func TestSizeIsNearTheMemoryThatARunHolds(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector has nothing to look for, and takes ten seconds to find it")
	}
	for _, size := range []int{1, 10, 1_000, 100_000} {
		held, estimated := measure(size, 100_000)
		if ratio := estimated / held; ratio < 0.7 || ratio > 1.3 {
			t.Errorf("runs of %d: Size says %.0f bytes an execution, which holds %.0f", size, estimated, held)
		}
	}
}

func TestSizeKnowsTheIDsThatAVoidNames(t *testing.T) {
	const runs = 100
	ids := names(1_001)
	held := make([]*aggregate.Run, runs)
	before := heap()
	for i := range held {
		e, rejected := events.Decode(events.Message{Data: events.Encode(new(voided(ids[0], 0, ids[1:]...)))})
		if rejected != nil {
			t.Fatal(rejected)
		}
		held[i] = fold(e)
	}
	bytes := float64(heap()-before) / runs
	if ratio := float64(held[0].Size()) / bytes; ratio < 0.7 || ratio > 1.3 {
		t.Errorf("Size says %d bytes for a run that holds %.0f", held[0].Size(), bytes)
	}
	runtime.KeepAlive(held)
}
