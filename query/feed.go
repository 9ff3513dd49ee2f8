package query

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/apexsalesai/runmetrics/aggregate"
)

const (
	// clockMargin is by how much the clocks of replicas may differ, and how long a commit may take to be announced.
	clockMargin = 60 * time.Second
	// lingerTime is how long records are still taken in after the last client has left: it may come back.
	lingerTime = 60 * time.Second
	// maxViewers is how many clients a process serves live.
	maxViewers = 1000
)

// Feed knows what changed lately, and whether anything did. It lives from announcements alone, of this process and of
// others, and reads the store where it has to believe that it missed some. While nobody listens it only counts them.
//
// A client has no queue here. It remembers the number up to which it was sent everything, and takes what has a higher one
// when it can: the newest record of each run that changed. So a client that is slow gets the latest, and costs nothing.
type Feed struct {
	read  func(ctx context.Context, since time.Time, limit int) ([]aggregate.Metrics, error)
	log   *slog.Logger
	now   func() time.Time
	close context.CancelFunc
	open  context.Context // ends with Close
	reads chan struct{}   // holds one token while the store is read

	mu      sync.Mutex
	viewers map[*viewer]struct{}
	left    time.Time // when the last of them went
	recent  *recent   // nil while nobody listens
	refused refusedReach
	moment  moment
	counts  FeedCounts
}

// moment is a state of the store, as far as a process knows without asking.
type moment struct {
	generation uint64 // of what is stored: a higher one may be another
	heard      bool   // announcements come in
	// changed is when the generation moved last. No record was committed later, but for clockMargin.
	changed time.Time
}

// FeedCounts are numbers of a process: how many clients there are, and how many records they were sent, or were not because
// more changed than they could take.
type FeedCounts struct {
	Clients       int64
	Sent, Skipped int64
}

// FeedConfig is what a Feed needs.
type FeedConfig struct {
	// Changed reads up to limit records that were committed since a time, the last committed first.
	Changed func(ctx context.Context, since time.Time, limit int) ([]aggregate.Metrics, error)
	Log     *slog.Logger     // nothing is logged where nil
	Now     func() time.Time // time.Now where nil
}

// NewFeed makes a feed that is to be told of commits by its methods. Until Back it knows of none. Close ends it.
func NewFeed(c FeedConfig) (*Feed, error) {
	if c.Changed == nil {
		return nil, errors.New("query feed: Changed is missing")
	}
	f := &Feed{read: c.Changed, log: c.Log, now: c.Now, reads: make(chan struct{}, 1), viewers: make(map[*viewer]struct{})}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	if f.now == nil {
		f.now = time.Now
	}
	f.open, f.close = context.WithCancel(context.Background())
	return f, nil
}

// Close ends all streams at once.
func (f *Feed) Close() { f.close() }

// Counts tells what the process does for its clients.
func (f *Feed) Counts() FeedCounts {
	f.mu.Lock()
	defer f.mu.Unlock()
	counts := f.counts
	counts.Clients = int64(len(f.viewers))
	return counts
}

// current is the state of the store as it is known now.
func (f *Feed) current() moment {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.moment
}

// moved takes note that the store changed or may have.
func (f *Feed) moved() {
	f.moment.generation++
	f.moment.changed = f.now()
}

// listening tells whether records are to be taken in. It forgets them where nobody has been there for a while.
func (f *Feed) listening() bool {
	if f.recent != nil && len(f.viewers) == 0 && f.now().Sub(f.left) > lingerTime {
		f.recent = nil
	}
	return f.recent != nil
}

// Changed takes in an announcement: JSON with the changed records in its member records, each as the API shows it. Changed,
// Back and Missed are called one at a time, in order.
func (f *Feed) Changed(announcement []byte) {
	f.mu.Lock()
	f.moved()
	listening := f.listening()
	f.mu.Unlock()
	if !listening {
		return
	}
	records, err := readAnnouncement(announcement)
	if err != nil {
		f.log.Error("announcement of a commit cannot be read", "error", err)
		f.Missed(f.now())
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.recent == nil {
		return
	}
	now := f.now()
	changed := make(map[string]bool)
	for i := range records {
		if f.recent.put(&records[i], now) {
			changed[records[i].CampaignID] = true
		}
	}
	f.settle(changed)
}

// settle makes room after something was taken in. It tells the clients of the changed campaigns, and those of all of them,
// that there is something to take, and notes who has not taken what is dropped.
func (f *Feed) settle(changed map[string]bool) {
	dropped := f.recent.prune()
	for v := range f.viewers {
		if len(changed) > 0 && v.filter.CampaignID == "" || changed[v.filter.CampaignID] {
			v.signal()
		}
		for _, c := range dropped {
			v.missed = v.missed || c.number > v.sent && matches(&v.filter, &c.record)
		}
	}
}

// Lost says that announcements do not come in until Back.
func (f *Feed) Lost() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.moved()
	f.moment.heard = false
}

// Back says that announcements come in, while those since a time may be missing.
func (f *Feed) Back(since time.Time) {
	f.mu.Lock()
	f.moment.heard = true
	f.mu.Unlock()
	f.Missed(since)
}

// Missed says that announcements since a time may be missing. Where somebody listens the store is read, once.
func (f *Feed) Missed(since time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.moved()
	if !f.listening() {
		return
	}
	if len(f.viewers) == 0 || f.open.Err() != nil {
		f.recent = nil
		return
	}
	from := f.recent.from
	f.recent.from = f.now() // until it is filled
	go f.fill(since.Add(-clockMargin), from)
}
