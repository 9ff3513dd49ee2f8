package publish

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// maxCauses is how many causes an Unpublished names.
const maxCauses = 5

// Unpublished is what Flush and Close return where not everything is known to be in the stream. It may be: where only
// acknowledgements were lost.
type Unpublished struct {
	GivenUp int     // messages that are not sent again, since the last Flush
	Waiting int     // messages that are still tried
	Causes  []error // why: the first of each kind, and why Flush did not wait longer
}

// Error says how many, and why.
func (u *Unpublished) Error() string {
	causes := make([]string, len(u.Causes))
	for i, cause := range u.Causes {
		causes[i] = cause.Error()
	}
	return fmt.Sprintf("not known to be in the stream: %d given up, %d still tried: %s", u.GivenUp, u.Waiting, strings.Join(causes, "; "))
}

// Unwrap gives the causes.
func (u *Unpublished) Unwrap() []error { return u.Causes }

// report collects what was given up until somebody takes it.
type report struct {
	mu      sync.Mutex
	givenUp int
	causes  []error  // with their subjects
	kinds   []string // what they are without
}

func (r *report) add(err, kind error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.givenUp++
	if len(r.kinds) < maxCauses && !slices.Contains(r.kinds, kind.Error()) {
		r.causes, r.kinds = append(r.causes, err), append(r.kinds, kind.Error())
	}
}

// take returns what was collected, with what still waits and why nobody waits for it, and begins anew. It is nil where
// that is nothing.
func (r *report) take(waiting int, cause error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.givenUp == 0 && waiting == 0 {
		return nil
	}
	u := &Unpublished{GivenUp: r.givenUp, Waiting: waiting, Causes: r.causes}
	if waiting > 0 {
		u.Causes = append(u.Causes, cause)
	}
	r.givenUp, r.causes, r.kinds = 0, nil, nil
	return u
}
