package simulation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"pgregory.net/rapid"

	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// plan is a history: what agents publish, and what happens meanwhile. It is drawn before it is played.
type plan struct {
	Streams, Replicas int
	Steps             []step
}

// step is one thing that happens, and the time until the next.
type step struct {
	text string
	wait time.Duration
	do   func(ctx context.Context, w *world) error
}

func (s step) String() string { return fmt.Sprintf("%s, then %s", s.text, s.wait) }

// GoString is how a failing plan is printed.
func (s step) GoString() string { return "\n\t" + s.String() }

// waits are the times between steps: within a commit, a retry, longer than a pin lives, a look at the stream, longer than
// the broker remembers ids.
var waits = []time.Duration{0, time.Millisecond, 25 * time.Millisecond, 300 * time.Millisecond, 3 * time.Second,
	11 * time.Second, 40 * time.Second, 130 * time.Second}

// plans draws histories.
func plans() *rapid.Generator[plan] {
	return rapid.Custom(func(t *rapid.T) plan {
		p := plan{Streams: rapid.SampledFrom([]int{1, 1, 1, 2}).Draw(t, "streams"), Replicas: rapid.IntRange(1, 3).Draw(t, "replicas")}
		n := rapid.IntRange(8, 40).Draw(t, "steps")
		for range n {
			s := p.step(t)
			s.wait = rapid.SampledFrom(waits).Draw(t, "wait")
			p.Steps = append(p.Steps, s)
		}
		return p
	})
}

// step draws what happens. Half of all steps are traffic and processes that start.
func (p plan) step(t *rapid.T) step {
	drawn := rapid.IntRange(0, 99).Draw(t, "what")
	slot := rapid.IntRange(0, p.Replicas-1).Draw(t, "who")
	number := rapid.IntRange(0, p.Streams-1).Draw(t, "stream")
	switch {
	case drawn < 35:
		seed, n, burst := rapid.Uint64Range(0, 1<<16).Draw(t, "seed"), rapid.IntRange(1, 15).Draw(t, "messages"), rapid.Bool().Draw(t, "burst")
		return step{text: fmt.Sprintf("publish %d to stream %d", n, number), do: func(ctx context.Context, w *world) error {
			return w.publish(ctx, w.streams[number], seed, n, burst)
		}}
	case drawn < 52:
		return step{text: fmt.Sprintf("start %d", slot), do: func(_ context.Context, w *world) error { return w.ensure(slot) }}
	case drawn < 56 && p.Replicas > 1:
		return overtaken(slot, (slot+1)%p.Replicas, number)
	case drawn < 70:
		return toProcess(t, slot)
	case drawn < 82:
		return toDatabase(t, slot)
	}
	return toBroker(t, number)
}

// overtaken is what pins cannot prevent: the reader of a stream waits for a commit while the stream is taken from it, and
// has it stored behind another one that went on.
func overtaken(slot, other, number int) step {
	return step{text: fmt.Sprintf("of %d and %d, who reads stream %d hangs in a commit and is overtaken", slot, other, number),
		do: func(ctx context.Context, w *world) error {
			if err := errors.Join(w.ensure(slot), w.ensure(other)); err != nil {
				return err
			}
			s := w.streams[number]
			for _, r := range w.slots {
				if r != nil {
					r.expect(sinktest.Commit, fault{sinktest.None, hangs}, 1)
				}
			}
			// Each gets the pin in turn and hangs, the first to wake up goes on.
			for seed := range uint64(4) {
				if err := errors.Join(w.publish(ctx, s, seed, 3, true), w.unpin(ctx, s)); err != nil {
					return err
				}
				time.Sleep(time.Second)
			}
			for _, r := range w.slots {
				if r != nil {
					r.resume()
					time.Sleep(time.Second)
				}
			}
			return nil
		}}
}

// requests are all side effects that a process has on the broker.
var requests = []string{"$JS.API.STREAM.INFO", "$JS.API.CONSUMER.INFO", "$JS.API.CONSUMER.CREATE", "$JS.API.CONSUMER.RESET",
	"$JS.API.CONSUMER.UNPIN", "$JS.API.CONSUMER.MSG.NEXT", "$JS.API.DIRECT.GET", "runmetrics.main.changed"}

// toProcess draws what happens to a process and to its connection.
func toProcess(t *rapid.T, slot int) step {
	request, arrives := rapid.SampledFrom(requests).Draw(t, "request"), rapid.Bool().Draw(t, "arrives")
	lost := map[bool]string{true: "answer", false: "request"}[arrives]
	acts := []struct {
		text string
		do   func(r *replica)
	}{
		{"kill", (*replica).kill},
		{"stop", func(r *replica) { r.heal(); r.stop(); r.kill() }},
		{"pause", (*replica).pause},
		{"resume", (*replica).resume},
		{"cut the connection of", func(r *replica) { r.wire.cut() }},
		{"lose the " + lost + " of the next " + request + " of", func(r *replica) { r.wire.set(request, arrives) }},
	}
	act := rapid.SampledFrom(acts).Draw(t, "act")
	return step{text: fmt.Sprintf("%s %d", act.text, slot), do: func(_ context.Context, w *world) error {
		if r := w.process(slot); r != nil {
			act.do(r)
		}
		return nil
	}}
}

// methods are all side effects that a process has on the database.
var methods = []sinktest.Method{sinktest.Position, sinktest.Load, sinktest.Commit, sinktest.Commit, sinktest.Commit}

// toDatabase draws what becomes of a process's calls, and of the database.
func toDatabase(t *rapid.T, slot int) step {
	method, times := rapid.SampledFrom(methods).Draw(t, "method"), rapid.IntRange(1, 3).Draw(t, "times")
	f := fault{rapid.SampledFrom([]sinktest.Fault{sinktest.None, sinktest.NotStored, sinktest.Stored, sinktest.StoredLater}).Draw(t, "fault"),
		rapid.SampledFrom([]then{goesOn, dies, pauses, hangs}).Draw(t, "then")}
	form := [...]string{sinktest.None: "succeed", sinktest.NotStored: "fail", sinktest.Stored: "fail but are stored",
		sinktest.StoredLater: "fail and are stored later"}[f.Fault]
	calls := step{text: fmt.Sprintf("the next %d calls of %s by %d %s%s", times, method, slot, form, f.then), do: func(_ context.Context, w *world) error {
		if r := w.process(slot); r != nil {
			r.expect(method, f, times)
		}
		return nil
	}}
	return rapid.SampledFrom([]step{calls, calls, calls, calls,
		{text: "commits of before take place", do: func(ctx context.Context, w *world) error {
			for _, r := range w.replicas {
				r.faulty.Release(ctx)
			}
			return nil
		}},
		{text: "back the database up", do: func(ctx context.Context, w *world) error { return w.database.backup(ctx) }},
		{text: "restore the database", do: func(ctx context.Context, w *world) error {
			for _, s := range w.streams {
				s.meddled = s.meddled || w.database.saved
			}
			return w.database.restore(ctx)
		}},
	}).Draw(t, "database")
}

// toBroker draws what happens to the broker, and what strangers do to the consumer of a stream.
func toBroker(t *rapid.T, number int) step {
	at := rapid.Uint64Range(0, 100).Draw(t, "at")
	which := rapid.SampledFrom([]string{pinConsumer, messagesConsumer}).Draw(t, "consumer")
	s := func(w *world) *stream { return w.streams[number] }
	return rapid.SampledFrom([]step{
		{text: fmt.Sprintf("a rival resets %s of stream %d to %d", which, number, at),
			do: func(ctx context.Context, w *world) error { return w.reset(ctx, s(w), which, at) }},
		{text: fmt.Sprintf("unpin stream %d", number), do: func(ctx context.Context, w *world) error { return w.unpin(ctx, s(w)) }},
		{text: fmt.Sprintf("delete %s of stream %d", which, number),
			do: func(ctx context.Context, w *world) error { return w.deleteConsumer(ctx, s(w), which) }},
		{text: fmt.Sprintf("a rival takes %d messages of stream %d", at%4+1, number),
			do: func(ctx context.Context, w *world) error { return w.takeMessages(ctx, s(w), int(at%4)+1) }},
		{text: "restart the broker", do: func(_ context.Context, w *world) error { w.stopBroker(); return w.startBroker() }},
		{text: "cut all connections", do: func(_ context.Context, w *world) error {
			for _, r := range w.replicas {
				r.wire.cut()
			}
			return nil
		}},
		{text: fmt.Sprintf("make stream %d anew", number), do: func(ctx context.Context, w *world) error { return w.recreateStream(ctx, s(w)) }},
	}).Draw(t, "broker")
}
