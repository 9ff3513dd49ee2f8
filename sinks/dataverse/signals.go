package dataverse

import (
	"slices"
	"sync"

	"go.opentelemetry.io/otel/trace"
)

// mostOrigins is how many commits a span names: as many links as a span has by OpenTelemetry's default.
const mostOrigins = 128

// signals are what others tell the dispatcher. The newest of a kind counts.
type signals struct {
	ready chan struct{} // holds one token while there is something to take

	mu    sync.Mutex
	own   *bool
	woken bool
	// origins are the spans that the runs come from which were marked since the last claim, the newest last.
	origins []trace.SpanContext
}

func (s *signals) tell(f func()) {
	s.mu.Lock()
	f()
	s.mu.Unlock()
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

func (s *signals) take() (own *bool, woken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	own, woken = s.own, s.woken
	s.own, s.woken = nil, false
	return own, woken
}

// Own says whether this dispatcher is to work. Each true makes it take over what others have claimed, for they are taken
// for dead; after false it gives back what it has claimed, once requests under way have ended.
func (d *Dispatcher) Own(own bool) { d.signals.tell(func() { d.signals.own = &own }) }

// takeOrigins returns what woke the dispatcher, once.
func (s *signals) takeOrigins() []trace.SpanContext {
	s.mu.Lock()
	defer s.mu.Unlock()
	origins := s.origins
	s.origins = nil
	return origins
}

// giveBack has the next claim find origins of which this one had no use.
func (s *signals) giveBack(origins []trace.SpanContext) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.origins = newest(append(origins, s.origins...))
}

// Wake says that runs were marked, by a commit in the span of the origin where that is valid. The newest 128 origins since
// the last claim are remembered.
func (d *Dispatcher) Wake(origin trace.SpanContext) {
	d.signals.tell(func() {
		d.signals.woken = true
		if origin.IsValid() {
			d.signals.origins = newest(append(d.signals.origins, origin))
		}
	})
}

// newest are the last of the origins, as many as are remembered.
func newest(origins []trace.SpanContext) []trace.SpanContext {
	return slices.Delete(origins, 0, max(0, len(origins)-mostOrigins))
}
