package query

import (
	"context"
	"time"

	"github.com/apexsalesai/runmetrics/sinks"
)

const (
	// flushTime is the time between two deliveries of records to one client.
	flushTime = 250 * time.Millisecond
	// lookTime is the time between two looks of a client for which nothing was found.
	lookTime = 50 * time.Millisecond
	// beatTime is how often a client is looked after in any case: its state, its key, its silence.
	beatTime = time.Second
	// silentTime is after how much silence a comment shows that the connection lives.
	silentTime = 15 * time.Second
	// checkTime is how often its key is looked at.
	checkTime = 5 * time.Second
	// tellTime is how often a client is told at most that it missed something.
	tellTime = 10 * time.Second
	// stuckTime is how long a client may take for 64 KB. One that takes longer is cut off.
	stuckTime = 10 * time.Second

	// deliveryRate is how many bytes of records a process sends in a second to all its clients together. More would take
	// the processors from reading: with 200 clients of a stream that is read at full speed on two cores, this cost 2 % of
	// the events, and twice as much 10 %.
	deliveryRate = 16 << 20
	// A delivery has at most its share of that, but not less and not more than this.
	minDelivery, maxDelivery = 32 << 10, 256 << 10
)

// viewer is a client as its feed knows it. Its fields but signaled are the feed's.
type viewer struct {
	filter   sinks.Filter
	signaled chan struct{} // holds one token where there may be something to take
	sent     int64         // the number up to which it was sent everything
	missed   bool          // it was not, and has not been told
}

func (v *viewer) signal() {
	select {
	case v.signaled <- struct{}{}:
	default:
	}
}

// join adds a client that is sent what changes from now on. It is nil where there is no room.
func (f *Feed) join(filter sinks.Filter) *viewer {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.viewers) >= maxViewers || f.open.Err() != nil {
		return nil
	}
	if !f.listening() {
		f.recent = newRecent(f.now())
	}
	v := &viewer{filter: filter, signaled: make(chan struct{}, 1), sent: f.recent.last}
	f.viewers[v] = struct{}{}
	return v
}

func (f *Feed) leave(v *viewer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.viewers, v)
	f.left = f.now()
}

// resume returns what changed since a time. The client goes on behind it.
func (f *Feed) resume(v *viewer, t time.Time) (list []record, all bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.recent == nil { // the client has left
		return nil, false
	}
	list, all = f.recent.since(t, &v.filter, maxResumed)
	v.sent = f.recent.last
	f.counts.Sent += int64(len(list))
	return list, all
}

// take returns what a client is to be sent next, and how long it is to wait for more then. Missed tells whether changes
// were left out since the last call.
func (f *Feed) take(v *viewer) (list []record, rest time.Duration, missed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-v.signaled: // whatever it is for, it is seen now
	default:
	}
	if f.recent == nil { // the client has left
		return nil, flushTime, false
	}
	share := deliveryRate / max(1, len(f.viewers))
	limit := min(max(share*int(flushTime/time.Millisecond)/1000, minDelivery), maxDelivery)
	missed, v.missed = v.missed, false
	list, through, skipped := f.recent.after(v.sent, &v.filter, limit)
	v.sent = through
	f.counts.Sent += int64(len(list))
	f.counts.Skipped += int64(skipped)
	size := 0
	for i := range list {
		size += len(list[i].raw)
	}
	rest = max(flushTime, time.Duration(size)*time.Second/time.Duration(share))
	return list, rest, missed || skipped > 0
}

// liveStream sends one client what changes.
type liveStream struct {
	*viewer
	server                *server
	out                   *eventWriter
	authorization, apiKey string

	look    time.Time // not before then is there to be a look for records
	due     bool      // there is to be one
	beat    time.Time // when it is to be looked after next
	checked time.Time // when its key was
	told    time.Time // when it was told that it missed something
	missed  bool      // since then
	state   uint64    // that it was sent last
}

// run sends until the client, its key or the process is gone.
func (l *liveStream) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for l.out.err == nil {
		now := time.Now()
		if !now.Before(l.beat) {
			l.beat, l.due = now.Add(beatTime), true
			if !l.attend(now) {
				return
			}
		}
		if (l.due || len(l.signaled) > 0) && !now.Before(l.look) {
			l.deliver(now)
		}
		l.out.flush(now)
		wait, signaled := l.beat, l.signaled
		if now.Before(l.look) {
			signaled = nil // it has to wait
			if l.look.Before(wait) {
				wait = l.look
			}
		}
		timer.Reset(time.Until(wait))
		select {
		case <-signaled:
			l.due = true
		case <-timer.C:
		case <-l.server.Feed.open.Done():
			return
		case <-ctx.Done():
			return
		}
	}
}

// deliver sends what changed.
func (l *liveStream) deliver(now time.Time) {
	list, rest, missed := l.server.Feed.take(l.viewer)
	for i := range list {
		l.out.record(&list[i])
	}
	// Where something was sent there may be more.
	if l.due = len(list) > 0; !l.due {
		rest = lookTime
	}
	l.look = now.Add(rest)
	if l.missed = l.missed || missed; l.missed && now.Sub(l.told) >= tellTime {
		l.out.event("ready", readiness{Complete: false, Resumed: true})
		l.missed, l.told = false, now
	}
}

// attend looks after the client. It is false where its key is gone.
func (l *liveStream) attend(now time.Time) bool {
	if now.Sub(l.checked) >= checkTime {
		if l.checked = now; !l.server.mayRead(l.authorization, l.apiKey) {
			return false
		}
	}
	state, number := l.server.states.now(l.server.State, now)
	if number != l.state {
		l.state = number
		l.out.raw("state", state)
	}
	if now.Sub(l.out.written) >= silentTime {
		l.out.comment("heartbeat")
	}
	return true
}
