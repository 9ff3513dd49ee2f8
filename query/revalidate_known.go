package query

import (
	"sync"
	"time"
)

const (
	// trustTime is how long an answer is taken for right at most, because nothing was heard.
	trustTime = 15 * time.Minute
	// maxAnswers is how many answers are known at a time, and maxQuestion how long what was asked for may be: 2 MB.
	maxAnswers  = 1000
	maxQuestion = 2000
)

// knownAnswers are the ETags of answers that were given lately.
type knownAnswers struct {
	mu         sync.Mutex
	byQuestion map[string]knownAnswer
}

// knownAnswer is the right answer while the store is of the generation, and before the time.
type knownAnswer struct {
	etag       string
	generation uint64
	until      time.Time
}

func (a *knownAnswer) right(now moment, at time.Time) bool {
	return now.heard && a.generation == now.generation && at.Before(a.until)
}

// get returns the ETag of the answer that would be given now, false where only the store can say.
func (k *knownAnswers) get(question string, now moment, at time.Time) (string, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	known, found := k.byQuestion[question]
	return known.etag, found && known.right(now, at)
}

// put takes an answer in, where there is no room for one that is of an older generation, or for any other.
func (k *knownAnswers) put(question string, answer knownAnswer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.byQuestion == nil {
		k.byQuestion = make(map[string]knownAnswer)
	}
	if _, known := k.byQuestion[question]; !known && len(k.byQuestion) >= maxAnswers {
		k.makeRoom(answer.generation)
	}
	k.byQuestion[question] = answer
}

func (k *knownAnswers) makeRoom(generation uint64) {
	for question, known := range k.byQuestion {
		if known.generation != generation {
			delete(k.byQuestion, question)
		}
	}
	for question := range k.byQuestion {
		if len(k.byQuestion) < maxAnswers {
			return
		}
		delete(k.byQuestion, question)
	}
}
