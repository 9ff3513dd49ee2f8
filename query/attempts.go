package query

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// What the log of refused attempts is held to.
const (
	attemptsLogged = 10 // lines
	attemptsWindow = time.Second
)

// attempt is a request that was refused for its key. It holds nothing that its sender chose: what a stranger sends as an
// id may be half a secret, and so may a path.
type attempt struct {
	keyID  string // of the file, empty where it names none
	reason string
	remote string
}

// attemptLog writes a line for each refused attempt, up to attemptsLogged a second. Of more it writes how many there were.
type attemptLog struct {
	log *slog.Logger

	mu     sync.Mutex
	count  int  // in the second that runs
	timing bool // a second runs
}

func (l *attemptLog) note(request context.Context, a attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.timing {
		l.timing = true
		time.AfterFunc(attemptsWindow, l.summarize)
	}
	if l.count++; l.count <= attemptsLogged {
		l.log.WarnContext(request, "api request refused", "key_id", a.keyID, "reason", a.reason, "remote_addr", a.remote)
	}
}

// summarize ends the second.
func (l *attemptLog) summarize() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if more := l.count - attemptsLogged; more > 0 {
		l.log.Warn("more api requests refused", "count", more)
	}
	l.count, l.timing = 0, false
}
