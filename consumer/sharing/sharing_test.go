package sharing

import (
	"fmt"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/consumer"
)

// soon is how long processes may take to share evenly once they know each other.
const soon = 2 * interval

// gone is how long they may take to read what a dead process left: until its pin ends.
const gone = consumer.DefaultPinnedTTL + 2*time.Second

// TestProcessesShareStreamsEvenly while events flow and processes come, die and go.
func TestProcessesShareStreamsEvenly(t *testing.T) {
	for _, c := range []struct{ streams, processes int }{{4, 2}, {6, 3}} {
		t.Run(fmt.Sprintf("%d streams, %d processes", c.streams, c.processes), func(t *testing.T) {
			play(t, c.streams, func(w *world) {
				stop := w.flow(250 * time.Millisecond)
				first := w.start("0", w.store)
				w.until(soon, "the first one reads everything", w.even)
				for n := 1; n < c.processes; n++ {
					w.start(fmt.Sprint(n), w.store)
					w.until(soon, "shares are even", w.even)
				}
				w.stay(20 * time.Second)
				w.end(first, true)
				t.Log("taken over after", w.until(gone, "the others read its streams", w.even))
				w.stay(10 * time.Second)
				w.start("late", w.store)
				w.until(soon, "the late one has its share", w.even)
				w.end(w.living[0], false)
				w.until(soon, "the rest have the share of the one that stopped", w.even)
				w.stay(10 * time.Second)
				stop()
				w.expectAll()
			})
		})
	}
}

// stay lets time pass in which no stream changes its reader.
func (w *world) stay(d time.Duration) {
	w.t.Helper()
	w.mu.Lock()
	before := w.moves
	w.mu.Unlock()
	time.Sleep(d)
	w.mu.Lock()
	moved := w.moves - before
	w.mu.Unlock()
	if shares, ok := w.shares(); moved > 0 || !ok || !w.even() {
		w.t.Fatalf("%d moves in %s; shares %v", moved, d, shares)
	}
}
