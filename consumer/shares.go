package consumer

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
)

const (
	// ShareInterval is how often a process says which streams it can read. So one that is dead is missed before its pins
	// end.
	ShareInterval = DefaultPinnedTTL / 4
	// shareBeat is how often it looks whether that has changed; if so, it says so at once.
	shareBeat = ShareInterval / 8
	// shareSilence is after how long a process that says nothing is gone.
	shareSilence = 3 * ShareInterval
	// probation is how long nothing is given to a reader that failed: one that fails at every commit would take its stream
	// again and again.
	probation = 15 * ShareInterval
)

// Shares divides the streams of a deployment evenly among the processes that read them: the broker does not, the first
// one that asks gets every pin and keeps it.
//
// Each process says every interval, on the core subject SharesSubject, which streams it could read, and remembers what
// the others said. From that alone, each works out the same division (see divide), and makes way where another process
// is to read: it commits what it has, gives the pin back and asks for it no more. Who reads at the moment has no part in
// it, so no move causes another: once the processes know each other, and while what they can read stays the same, each
// stream moves once at the most. When all of them can read every stream, their shares differ by one at the most.
//
// It is a hint. A stream that no process can read, as far as this one knows, is asked for by all, and so is one that is
// left unread (see helpTime); what two processes read at a time is applied once.
type Shares struct {
	id           string
	conn         *nats.Conn
	subject      string
	readers      []*Reader
	heard        chan *nats.Msg
	subscription *nats.Subscription

	// owned by Run's goroutine
	others map[string]neighbour // by id
	able   []string             // what this process said last that it can read
	due    time.Time            // when to say it again
}

// neighbour is what another process said last.
type neighbour struct {
	streams []string
	heard   time.Time
}

// bid is a message on SharesSubject: a process, and the streams that it can read. One that stops can read none.
type bid struct {
	ID      string   `json:"id"`
	Streams []string `json:"streams"`
}

// SharesSubject is where the processes of a deployment say which streams they can read.
func SharesSubject(deployment string) string { return "runmetrics." + deployment + ".readers" }

// NewShares listens to the other processes from now on; Run says what this one can read. Its readers are of one deployment
// and on one connection.
func NewShares(readers []*Reader) (*Shares, error) {
	if len(readers) == 0 {
		return nil, errors.New("consumer: shares need readers")
	}
	first := readers[0]
	s := &Shares{id: uuid.NewString(), conn: first.conn, subject: SharesSubject(first.deployment), readers: readers,
		heard: make(chan *nats.Msg, 256), others: make(map[string]neighbour)}
	var err error
	if s.subscription, err = s.conn.ChanSubscribe(s.subject, s.heard); err != nil {
		return nil, fmt.Errorf("listen to other readers: %w", err)
	}
	return s, nil
}

// Run takes part until ctx ends. Then it says so, and the others go for the streams that this process still holds: end it
// with the readers.
func (s *Shares) Run(ctx context.Context) error {
	defer s.subscription.Unsubscribe() // fails only where the connection is closed
	beat := time.NewTicker(shareBeat)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			s.say(nil)
			return nil
		case m := <-s.heard:
			s.hear(m)
		case now := <-beat.C:
			s.beat(now)
		}
		s.divide()
	}
}

// beat forgets who is gone, and says what this process can read, where that is due or has changed.
func (s *Shares) beat(now time.Time) {
	maps.DeleteFunc(s.others, func(_ string, n neighbour) bool { return now.Sub(n.heard) > shareSilence })
	var able []string
	for _, r := range s.readers {
		if r.status.able(now.Add(-probation)) {
			able = append(able, r.stream)
		}
	}
	if !now.Before(s.due) || !slices.Equal(able, s.able) {
		s.able, s.due = able, now.Add(ShareInterval)
		s.say(able)
	}
}

// say is best effort: what is lost is said again.
func (s *Shares) say(able []string) {
	data, err := json.Marshal(bid{s.id, able})
	if err == nil && s.conn.IsConnected() {
		_ = s.conn.Publish(s.subject, data)
	}
}

// hear takes note of what a process said. One that is new is answered at once.
func (s *Shares) hear(m *nats.Msg) {
	var b bid
	if json.Unmarshal(m.Data, &b) != nil || b.ID == s.id {
		return
	}
	if _, known := s.others[b.ID]; !known {
		s.say(s.able)
	}
	s.others[b.ID] = neighbour{b.Streams, time.Now()}
}

// divide gives the readers their turns.
func (s *Shares) divide() {
	able := map[string][]string{s.id: s.able}
	for id, n := range s.others {
		able[id] = n.streams
	}
	turns := divide(able)
	for _, r := range s.readers {
		owner, ok := turns[r.stream]
		r.makeWay(ok && owner != s.id)
	}
}

// divide says which process is to read each stream, of those that can: one that has the fewest of the streams before it in
// the order of names; among those, lots decide. It depends on nothing else, so all processes that know the same agree.
// Where all can read all of them, each of k processes gets one of every k streams in a row: shares differ by one at the most.
func divide(able map[string][]string) (turns map[string]string) {
	takers := make(map[string][]string)
	for id, streams := range able {
		for _, stream := range streams {
			takers[stream] = append(takers[stream], id)
		}
	}
	turns = make(map[string]string, len(takers))
	share := make(map[string]int, len(able))
	for _, stream := range slices.Sorted(maps.Keys(takers)) {
		owner := slices.MinFunc(takers[stream], func(a, b string) int {
			return cmp.Or(cmp.Compare(share[a], share[b]), compareLots(a, b, stream))
		})
		turns[stream] = owner
		share[owner]++
	}
	return turns
}

// compareLots orders processes differently for each stream, so that one that comes or goes moves few streams.
func compareLots(a, b, stream string) int {
	lotA, lotB := sha256.Sum256([]byte(a+stream)), sha256.Sum256([]byte(b+stream))
	return bytes.Compare(lotA[:], lotB[:])
}
