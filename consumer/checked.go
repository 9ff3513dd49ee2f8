package consumer

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// CheckCommands are the commands that compare what is stored, each in its own way.
var CheckCommands = []string{"replay", "rebuild", "reconcile"}

// Checked is what a check of stored runs came to. Whoever made the check announces it on the core subject CheckedSubject
// once it is over. It is a hint to those who run the service: a process that does not hear it is right in everything else.
type Checked struct {
	Command string    `json:"command"` // one of CheckCommands
	At      time.Time `json:"at"`      // when it was over, by the clock of whoever made it
	Left    int64     `json:"left"`    // runs that differ still
	Whole   bool      `json:"whole"`   // all runs were checked, not only those of a campaign, a time or a file
}

// CheckedSubject is where checks of a deployment are announced.
func CheckedSubject(deployment string) string { return "runmetrics." + deployment + ".checked" }

// AnnounceChecked tells every service of the deployment that listens. It returns when the broker has it, or the error.
func AnnounceChecked(conn *nats.Conn, deployment string, c Checked) error {
	data, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode check: %w", err)
	}
	subject := CheckedSubject(deployment)
	if err := errors.Join(conn.Publish(subject, data), conn.FlushTimeout(checkedTime)); err != nil {
		return fmt.Errorf("announce check: %w", err)
	}
	// A right that is missing shows before the answer to the flush.
	if refusal, refused := RefusalOf(conn.LastError()); refused && refusal.Subject == subject {
		return fmt.Errorf("announce check: %w", refusal)
	}
	return nil
}

// checkedTime is how long the broker may take to take an announcement.
const checkedTime = 2 * time.Second

// Checks keeps what the last checks came to, as far as this process has heard.
type Checks struct {
	subscription *nats.Subscription

	mu   sync.Mutex
	last map[string]Checked // by command
}

// FollowChecks listens on the connection until Close, or until the connection is closed.
func FollowChecks(conn *nats.Conn, deployment string) (*Checks, error) {
	c := &Checks{last: make(map[string]Checked)}
	var err error
	c.subscription, err = conn.Subscribe(CheckedSubject(deployment), func(m *nats.Msg) { c.hear(m.Data, time.Now()) })
	if err != nil {
		return nil, fmt.Errorf("follow checks: %w", err)
	}
	return c, nil
}

// Close stops listening.
func (c *Checks) Close() error { return c.subscription.Unsubscribe() }

// Last has what is known of each command that was heard of, in the order of CheckCommands. Left is the most that a check
// of everything, or one of a part since then, has left; At is zero, and Whole false, before the first check of everything.
func (c *Checks) Last() []Checked {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []Checked
	for _, command := range CheckCommands {
		if last, known := c.last[command]; known {
			list = append(list, last)
		}
	}
	return list
}

// hear takes in an announcement. What no command announces is ignored. A check of a part can show that there is more amiss,
// but not that all is well.
func (c *Checks) hear(announcement []byte, now time.Time) {
	said, ok := readChecked(announcement, now)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	last, known := c.last[said.Command]
	switch {
	case said.Whole:
		c.last[said.Command] = said
	case !known && said.Left > 0:
		c.last[said.Command] = Checked{Command: said.Command, Left: said.Left}
	case known:
		last.Left = max(last.Left, said.Left)
		c.last[said.Command] = last
	}
}

const (
	longestChecked = 1024 // bytes
	// mostLeft is more runs than any store has.
	mostLeft = 1_000_000_000_000
	// clockSkew is how far ahead the clock of whoever made a check may be.
	clockSkew = 24 * time.Hour
)

var firstCheck = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// readChecked reads an announcement and refuses what cannot be true.
func readChecked(announcement []byte, now time.Time) (Checked, bool) {
	var said Checked
	if len(announcement) > longestChecked || json.Unmarshal(announcement, &said) != nil {
		return Checked{}, false
	}
	ok := slices.Contains(CheckCommands, said.Command) && said.Left >= 0 && said.Left <= mostLeft &&
		!said.At.Before(firstCheck) && !said.At.After(now.Add(clockSkew))
	return said, ok
}
