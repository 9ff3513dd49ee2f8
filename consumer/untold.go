package consumer

import (
	"time"

	"github.com/apexsalesai/runmetrics/sinks"
)

// tellTime is the least time between two lines of the log about dead letters: a broken producer makes thousands a second.
const tellTime = time.Minute

// untold is what the log was not told of dead letters.
type untold struct {
	letters int
	first   sinks.DeadLetter // without its payload
	told    time.Time        // when the log was last told of some
}

func (u *untold) add(letters []sinks.DeadLetter) {
	if u.letters == 0 && len(letters) > 0 {
		u.first = letters[0]
		u.first.Payload = nil
	}
	u.letters += len(letters)
}

// tellDeadLetters says in the log how many messages became dead letters and what the first one was, unless it did so less
// than patience ago.
func (r *Reader) tellDeadLetters(patience time.Duration) {
	now := r.now()
	if r.untold.letters == 0 || now.Sub(r.untold.told) < patience {
		return
	}
	first := &r.untold.first
	r.log.Warn("messages became dead letters; `runmetrics deadletters list` has the reason of each", "stream", r.stream,
		"dead_letters", r.untold.letters, "first_sequence", first.Sequence, "subject", first.Subject,
		"reason", first.Reason, "field", first.Field)
	r.untold = untold{told: now}
}
