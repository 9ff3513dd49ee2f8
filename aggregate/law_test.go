package aggregate_test

import (
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
)

// repeated draws a history in which some events come again, at any later place.
func repeated(t *rapid.T, history []events.Event) []events.Event {
	list := slices.Clone(history)
	for range rapid.IntRange(0, 10).Draw(t, "repeats") {
		e := rapid.SampledFrom(history).Draw(t, "repeated")
		list = slices.Insert(list, rapid.IntRange(0, len(list)).Draw(t, "place"), e)
	}
	return list
}

func TestOrderDoesNotChangeTheRecord(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		history := histories().Draw(t, "history")
		want := fold(history...).Metrics()
		other := rapid.Permutation(history).Draw(t, "order")
		sameRecord(t, fold(other...).Metrics(), want, "first order:\n"+lines(history)+"second order:\n"+lines(other))
	})
}

func TestDuplicationDoesNotChangeTheRecord(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		history := histories().Draw(t, "history")
		want := fold(history...).Metrics()
		list := repeated(t, history)
		r := fold(list...)
		sameRecord(t, r.Metrics(), want, lines(list))
		if r.Len() != len(history) {
			t.Fatalf("%d events are applied, want %d", r.Len(), len(history))
		}
	})
}

func TestLookingInBetweenDoesNotChangeTheRecord(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		history := histories().Draw(t, "history")
		want := fold(history...).Metrics()
		r := aggregate.NewRun(key)
		for i := range history {
			r.Apply(&history[i])
			if rapid.Bool().Draw(t, "look") {
				first := r.Metrics()
				sameRecord(t, r.Metrics(), first, "looked at twice:\n"+lines(history[:i+1]))
			}
		}
		sameRecord(t, r.Metrics(), want, lines(history))
	})
}

func TestEveryRecordOnTheWayIsTheOracles(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		history := histories().Draw(t, "history")
		list := repeated(t, history)
		for range rapid.IntRange(0, 3).Draw(t, "conflicts") {
			// Other content under an id that is taken, of any type.
			taken := rapid.SampledFrom(history).Draw(t, "taken")
			e := event(t, taken.ID, rapid.SampledFrom(weighted).Draw(t, "conflicting type"))
			list = slices.Insert(list, rapid.IntRange(0, len(list)).Draw(t, "place"), e)
		}
		everyTime := rapid.Bool().Draw(t, "compare after every event")
		r := aggregate.NewRun(key)
		first := map[string]events.Event{}
		for i := range list {
			outcome := r.Apply(&list[i])
			if want := wantedOutcome(first, list[i]); outcome != want {
				t.Fatalf("event %d has outcome %d, want %d\n%s", i, outcome, want, lines(list))
			}
			if everyTime {
				checkRecord(t, r.Metrics(), list[:i+1])
			}
		}
		checkRecord(t, r.Metrics(), list)
	})
}

func wantedOutcome(first map[string]events.Event, e events.Event) aggregate.Outcome {
	before, known := first[e.ID]
	switch {
	case !known:
		first[e.ID] = e
		return aggregate.Applied
	case reflect.DeepEqual(before, e):
		return aggregate.Duplicate
	}
	return aggregate.Conflict
}

// A run that left memory is made anew from its stored events, which may come in any order and go on from there.
func TestARunMadeAnewGoesOnAsTheOneBefore(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		history := histories().Draw(t, "history")
		cut := rapid.IntRange(0, len(history)).Draw(t, "cut")
		r := fold(rapid.Permutation(history[:cut]).Draw(t, "stored")...)
		for i := range history[cut:] {
			r.Apply(&history[cut:][i])
		}
		sameRecord(t, r.Metrics(), fold(history...).Metrics(), lines(history))
	})
}
