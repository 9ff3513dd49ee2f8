package timeline

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/events"
)

// soon is how long a reader may take to be where it should, once store and broker are back: it asks the one at least
// every five seconds and the other every two.
const soon = 10 * time.Second

// lookTime is how often a reader asks after a stream from which nothing comes.
const lookTime = 30 * time.Second

// expiry is how old messages get here.
const expiry = time.Hour

// fault is what may happen to a stream of which 200 events were committed.
type fault struct {
	name   string
	unread int  // events that are in the stream, too, and not read when it happens
	saved  bool // the broker's files were copied behind the first 100
	// happen does it and returns what can be read behind it.
	happen func(w *world, unread []events.Event, backup string) (readable []events.Event)

	notes     string // what the reader shows of it
	logs      string // and logs
	epoch     int64  // of what comes later
	quiet     at     // where the store is in the end, if nothing comes later
	gone      int64  // how many sequences are counted as gone in the end, if something comes later
	goneQuiet int64  // and if nothing does
}

// at is a place in the timelines of a stream.
type at struct {
	epoch    int64
	sequence uint64
}

var faults = []fault{
	{name: "recreated", notes: "recreated", logs: "found=recreated", epoch: 2, quiet: at{1, 200}, happen: recreate},
	{name: "recreated before all was read", unread: 100, notes: "recreated", logs: "found=recreated", epoch: 2,
		quiet: at{1, 200}, happen: recreate},
	{name: "tail lost", saved: true, notes: "tail lost", logs: `found="tail lost"`, epoch: 2, quiet: at{2, 100},
		happen: loseTail(0)},
	{name: "tail lost and written anew beyond the position", saved: true, notes: "tail lost", logs: `found="tail lost"`,
		epoch: 2, quiet: at{2, 250}, happen: loseTail(150)},
	{name: "tail lost and written anew up to the position", saved: true, notes: "tail lost", logs: `found="tail lost"`,
		epoch: 2, quiet: at{2, 200}, happen: loseTail(100)},
	{name: "tail lost behind an expired beginning", saved: true, notes: "tail lost", logs: `found="tail lost"`, epoch: 2,
		quiet: at{2, 100}, gone: 60, goneQuiet: 60,
		happen: func(w *world, _ []events.Event, backup string) []events.Event {
			w.restore(backup)
			w.purge(60)
			return nil
		}},
	{name: "purged", unread: 100, notes: ": 100 messages left it", logs: "messages=100", epoch: 1,
		quiet: at{1, 200}, gone: 100,
		happen: func(w *world, _ []events.Event, _ string) []events.Event {
			w.purge(300)
			return nil
		}},
	{name: "purged in part", unread: 100, notes: ": 60 messages left it", logs: "messages=60", epoch: 1,
		quiet: at{1, 300}, gone: 60, goneQuiet: 60,
		happen: func(w *world, unread []events.Event, _ string) []events.Event {
			w.purge(260)
			return unread[60:]
		}},
	{name: "expired", unread: 100, notes: ": 100 messages left it", logs: "messages=100", epoch: 1,
		quiet: at{1, 200}, gone: 100,
		happen: func(*world, []events.Event, string) []events.Event {
			time.Sleep(expiry + time.Minute)
			return nil
		}},
	{name: "a gap", unread: 100, notes: ": 20 messages left it", logs: "messages=20", epoch: 1,
		quiet: at{1, 300}, gone: 20, goneQuiet: 20,
		happen: func(w *world, unread []events.Event, _ string) []events.Event {
			w.remove(251, 270)
			return slices.Delete(unread, 50, 70)
		}},
	{name: "the end removed", unread: 100, notes: ": 30 messages left it", logs: "messages=30", epoch: 1,
		quiet: at{1, 270}, gone: 30,
		happen: func(w *world, unread []events.Event, _ string) []events.Event {
			w.remove(271, 300)
			return unread[:70]
		}},
}

func recreate(w *world, _ []events.Event, _ string) []events.Event {
	w.recreate()
	return nil
}

// loseTail puts the broker back to its copy, and gives out so many sequences again.
func loseTail(n int) func(*world, []events.Event, string) []events.Event {
	return func(w *world, _ []events.Event, backup string) []events.Event {
		w.restore(backup)
		return w.publish(w.make(n))
	}
}

// TestWhatHappensToAStreamIsFoundSaidAndCounted, whether or not the reader runs meanwhile and whether or not anything comes
// behind it; and it changes no committed run.
func TestWhatHappensToAStreamIsFoundSaidAndCounted(t *testing.T) {
	for _, f := range faults {
		for _, stopped := range []bool{true, false} {
			for _, quiet := range []bool{true, false} {
				if testing.Short() && (stopped || quiet) {
					continue // -short leaves out three of four
				}
				t.Run(fmt.Sprintf("%s/stopped=%t/quiet=%t", f.name, stopped, quiet), func(t *testing.T) {
					play(t, func(w *world) { f.try(w, stopped, quiet) })
				})
			}
		}
	}
}

func (f *fault) try(w *world, stopped, quiet bool) {
	r := w.read(w.broker)
	committed := w.publish(w.make(100))
	var backup string
	if f.saved {
		w.reaches(soon, 1, 100)
		backup = w.save()
	}
	committed = append(committed, w.publish(w.make(100))...)
	w.reaches(soon, 1, 200)

	// All of it happens before the reader sees any of it.
	if stopped {
		r.stop()
	}
	w.away.Store(true)
	w.letIn(false)
	readable := f.happen(w, w.publish(w.make(f.unread)), backup)
	end, gone := f.quiet, f.goneQuiet
	if !quiet {
		readable = append(readable, w.publish(w.make(50))...)
		end, gone = at{f.epoch, w.last()}, f.gone
	}
	w.away.Store(false)
	w.letIn(true)
	if stopped {
		r = w.read(w.broker)
	}
	took := w.until(lookTime+soon, "it shows "+f.notes, func() bool { return r.shows(f.notes) })
	took += w.reaches(soon, end.epoch, end.sequence)
	w.Logf("found, and all of it read, after %s", took)
	if !r.logs(f.logs) || !r.shows(f.notes) {
		w.Errorf("the log lacks %q, or the note %q: %q", f.logs, f.notes, r.Status().Note)
	}
	w.holds(committed, readable)
	p, s := w.position(), r.Status()
	if p.Gone != gone || s.Gone != gone || int64(p.Sequence) != p.Applied+p.Duplicates+p.DeadLetters+p.Gone {
		w.Errorf("want %d gone; position %+v, status %+v", gone, p, s)
	}
	if s.State != consumer.Active {
		w.Errorf("status %+v", s)
	}
}

// TestWhatALostTailTookUnreadIsSaid: its publishers were told that it was stored, and only a reader that saw it can tell.
func TestWhatALostTailTookUnreadIsSaid(t *testing.T) {
	for _, c := range []struct {
		name  string
		lose  func(w *world, earlier, later string)
		notes string
		epoch int64
		last  uint64
	}{
		{"recreated", func(w *world, _, _ string) { w.recreate() }, "recreated; reading it from its first message, " +
			"committed runs are kept; at least 100 messages", 2, 50},
		{"lost through the position", func(w *world, earlier, _ string) { w.restore(earlier) }, "tail lost; reading it from its " +
			"first message, committed runs are kept; at least 100 messages", 2, 150},
		{"lost behind the position", func(w *world, _, later string) { w.restore(later) }, ": at least 60 messages", 1, 290},
	} {
		t.Run(c.name, func(t *testing.T) {
			play(t, func(w *world) {
				r := w.read(w.broker)
				committed := w.publish(w.make(100))
				earlier := w.save()
				committed = append(committed, w.publish(w.make(100))...)
				w.reaches(soon, 1, 200)
				w.full.Store(true)
				unread := w.publish(w.make(40))
				later := w.save()
				unread = append(unread, w.publish(w.make(60))...)
				w.until(lookTime+soon, "it has seen all of it", func() bool { return r.Status().LastSequence == 300 })
				c.lose(w, earlier, later)
				w.until(lookTime+soon, "it shows "+c.notes, func() bool { return r.shows(c.notes) })
				if !r.logs("lost its last messages") {
					t.Error("the log does not say so")
				}
				w.full.Store(false)
				committed = append(committed, w.publish(w.make(50))...)
				if c.epoch == 1 {
					committed = append(committed, unread[:40]...)
				}
				w.reaches(soon, c.epoch, c.last)
				w.holds(committed)
			})
		})
	}
}

// TestAStreamMadeAnewAgainAndAgainIsNotTwoBrokers, and neither is one that stays quiet behind a bad connection.
func TestAStreamMadeAnewAgainAndAgainIsNotTwoBrokers(t *testing.T) {
	play(t, func(w *world) {
		r, replica := w.read(w.broker), w.read(w.broker)
		all := w.publish(w.make(20))
		w.reaches(soon, 1, 20)
		for epoch := range 10 {
			w.recreate()
			for range 10 { // nothing is committed meanwhile
				must(t, r.conn.ForceReconnect())
				must(t, replica.conn.ForceReconnect())
				time.Sleep(5 * time.Second)
			}
			all = append(all, w.publish(w.make(20))...)
			w.reaches(lookTime+soon, int64(epoch+2), 20)
		}
		for _, r := range []*reading{r, replica} {
			if s := r.Status(); s.Reason != "" || r.logs("two brokers") || r.logs("not of this broker") {
				t.Errorf("status %+v", s)
			}
		}
		w.holds(all)
	})
}

// TestTwoBrokersThatShareOneDatabaseAreFound, whether they are strangers or one began as a copy of the other. Nothing is
// lost by it: what the blocked reader did not read waits in its stream.
func TestTwoBrokersThatShareOneDatabaseAreFound(t *testing.T) {
	for _, copied := range []bool{false, true} {
		t.Run(fmt.Sprintf("copied=%t", copied), func(t *testing.T) {
			play(t, func(w *world) { shareOneDatabase(w, w.second(copied)) })
		})
	}
}

func shareOneDatabase(w *world, other *broker) {
	brokers := []*broker{w.broker, other}
	readers := []*reading{w.read(brokers[0]), w.read(brokers[1])}
	blocked := func() int {
		return slices.IndexFunc(readers, func(r *reading) bool { return r.Status().State == consumer.Blocked })
	}
	var all []events.Event
	took := w.until(10*time.Minute, "one is blocked", func() bool {
		for _, b := range brokers {
			all = append(all, b.publish(w.make(1))...)
			time.Sleep(5 * time.Second)
		}
		return blocked() >= 0
	})
	w.Logf("found after %s, in epoch %d", took, w.position().Epoch)
	lost := blocked()
	if r := readers[lost]; !strings.Contains(r.Status().Reason, "two brokers share one database") || !r.logs("two brokers share") {
		w.Errorf("status %+v", r.Status())
	}
	rest := brokers[1-lost]
	all = append(all, rest.publish(w.make(20))...)
	w.until(lookTime+soon, "the other one goes on", func() bool { return w.position().Sequence == rest.last() })
	for _, r := range readers {
		r.stop()
	}
	w.read(brokers[lost])
	w.until(lookTime+soon, "the rest is read, too", func() bool { return w.position().Sequence == brokers[lost].last() })
	w.holds(all)
}

// TestWhatAStandbyDidNotReadIsNotGone once it expires: the other one read it.
func TestWhatAStandbyDidNotReadIsNotGone(t *testing.T) {
	play(t, func(w *world) {
		readers := []*reading{w.read(w.broker), w.read(w.broker)}
		for range 2 {
			w.publish(w.make(50))
			w.reaches(soon, 1, w.last())
			time.Sleep(expiry + lookTime)
		}
		for _, r := range readers {
			if s := r.Status(); s.Note != "" || s.Gone != 0 {
				t.Errorf("status %+v", s)
			}
		}
	})
}
