package sinktest

import (
	"testing"

	"github.com/apexsalesai/runmetrics/sinks"
)

func (s suite) doubtTests() []test {
	return []test{
		{"DoubtIsSentAsUsualAndOnceMore", s.doubt},
		{"DoubtsEndWithTheLast", s.lastDoubt},
		{"ParkedRunInDoubtIsSentOnceMore", s.parkedDoubt},
	}
}

func (s suite) doubt(t *testing.T) {
	store, _ := s.open(t, Options{Marks: true})
	w, d := NewWriter(t, store, stream), newDispatcher(store)
	w.touch(t, at(0), "a")
	d.claim(t, at(1), "a@1")
	d.settle(t, at(2), doubtful(settled("a", 1, sinks.Released), at(60)))
	d.claim(t, at(2), "a@1")
	w.touch(t, at(3), "a")
	d.settle(t, at(4), settled("a", 1, sinks.Delivered))
	next(t, d.claim(t, at(5)), at(12)) // the interval, as usual
	d.claim(t, at(12), "a@2")
	d.settle(t, at(13), settled("a", 2, sinks.Delivered))
	next(t, d.claim(t, at(14)), at(60))
	d.claim(t, at(60), "a@2")
	d.settle(t, at(61), settled("a", 2, sinks.Released)) // not sent after all
	d.claim(t, at(61), "a@2")
	d.settle(t, at(62), settled("a", 2, sinks.Delivered))
	next(t, d.claim(t, at(1000)), never)
	// A delivery may leave a doubt too: an earlier attempt of the same request.
	w.touch(t, at(100), "a")
	d.claim(t, at(100), "a@3")
	d.settle(t, at(101), doubtful(settled("a", 3, sinks.Delivered), at(160)))
	next(t, d.claim(t, at(102)), at(160))
}

func (s suite) lastDoubt(t *testing.T) {
	store, _ := s.open(t, Options{Marks: true})
	w, d, heir := NewWriter(t, store, stream), newDispatcher(store), newDispatcher(store)
	w.touch(t, at(0), "a")
	d.claim(t, at(1), "a@1")
	d.settle(t, at(2), doubtful(settled("a", 1, sinks.Released), at(60)))
	d.claim(t, at(2), "a@1")
	heir.adopt(t, 3, 50) // a shorter one ends no longer one
	heir.claim(t, at(3), "a@1")
	heir.settle(t, at(4), settled("a", 1, sinks.Delivered))
	next(t, heir.claim(t, at(5)), at(60))
	// A claim from that time on whose request is lost, too, is a doubt of its own.
	heir.claim(t, at(60), "a@1")
	heir.settle(t, at(61), doubtful(settled("a", 1, sinks.Released), at(120)))
	heir.claim(t, at(61), "a@1")
	heir.settle(t, at(62), settled("a", 1, sinks.Delivered))
	next(t, heir.claim(t, at(63)), at(120))
	heir.claim(t, at(130), "a@1")
	heir.settle(t, at(131), settled("a", 1, sinks.Delivered))
	next(t, heir.claim(t, at(1000)), never)
}

func (s suite) parkedDoubt(t *testing.T) {
	store, _ := s.open(t, Options{Marks: true})
	w, d := NewWriter(t, store, stream), newDispatcher(store)
	w.touch(t, at(0), "a")
	d.claim(t, at(1), "a@1")
	d.settle(t, at(2), doubtful(settled("a", 1, sinks.Parked), at(30)))
	parked(t, store, "a", "too long: a", true)
	next(t, d.claim(t, at(3)), at(30))
	d.claim(t, at(30), "a@1")
	d.settle(t, at(31), settled("a", 1, sinks.Parked))
	parked(t, store, "a", "too long: a", false)
	next(t, d.claim(t, at(1000)), never)
}
