package dataverse

import "sync"

// signals are what others tell the dispatcher. The newest of a kind counts.
type signals struct {
	ready chan struct{} // holds one token while there is something to take

	mu    sync.Mutex
	own   *bool
	woken bool
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

// Wake says that runs were marked.
func (d *Dispatcher) Wake() { d.signals.tell(func() { d.signals.woken = true }) }
