package query

import (
	"context"
	"time"
)

const (
	// maxReach is how far back the store is read for clients that come back.
	maxReach = 15 * time.Minute
	// maxRead is how many records are read at a time: 5 MB.
	maxRead = 5000
	// refusedTime is how long nobody asks for what turned out to be too much, or could not be had.
	refusedTime = 10 * time.Second
)

// refusedReach is how far back the store could not be read, and when that was tried.
type refusedReach struct {
	since, at time.Time
}

// fill reads what was committed since a time into a feed that may have missed some of it, and then has all since from
// again. Where it cannot, the clients are told that they do not have all.
func (f *Feed) fill(since, from time.Time) {
	ctx, cancel := context.WithTimeout(f.open, storeTimeout)
	defer cancel()
	select {
	case f.reads <- struct{}{}:
	case <-ctx.Done():
		f.skip()
		return
	}
	defer func() { <-f.reads }()
	records, ok := f.changedSince(ctx, since)
	if !ok {
		f.skip()
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.recent == nil {
		return
	}
	changed := make(map[string]bool)
	for i := len(records) - 1; i >= 0; i-- {
		if f.recent.put(&records[i], records[i].UpdatedAt) {
			changed[records[i].CampaignID] = true
		}
	}
	f.recent.from = from
	f.settle(changed)
}

// skip has every client be told that it missed something.
func (f *Feed) skip() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for v := range f.viewers {
		v.missed = true
		v.signal()
	}
}

// reach makes the feed have everything since a time, from the store where need be: once for all clients that ask for
// about the same. It tells whether that worked. The caller is one of its clients, so that nothing is missed meanwhile.
func (f *Feed) reach(ctx context.Context, t time.Time) bool {
	if done, covered := f.covers(t); done {
		return covered
	}
	select {
	case f.reads <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	defer func() { <-f.reads }()
	if done, covered := f.covers(t); done { // somebody else has read it
		return covered
	}
	since := t.Add(-clockMargin)
	records, ok := f.changedSince(ctx, since)
	f.mu.Lock()
	defer f.mu.Unlock()
	if ok && f.recent != nil {
		for i := range records {
			f.recent.putBefore(&records[i])
		}
		if since.Before(f.recent.from) {
			f.recent.from = since
		}
		f.settle(nil)
		if f.recent.covers(t) {
			return true
		}
	}
	f.refused = refusedReach{t, f.now()}
	return false
}

// covers tells whether the feed has everything since a time. It is done where that is so, or where asking the store is of
// no use.
func (f *Feed) covers(t time.Time) (done, covered bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	switch {
	case f.recent == nil || now.Sub(t) > maxReach:
		return true, false
	case f.recent.covers(t):
		return true, true
	}
	return !t.After(f.refused.since) && now.Sub(f.refused.at) < refusedTime, false
}

// changedSince reads what was committed since a time, the last committed first. It is false where that is too much.
func (f *Feed) changedSince(ctx context.Context, since time.Time) ([]record, bool) {
	found, err := f.read(ctx, since, maxRead+1)
	if err != nil || len(found) > maxRead {
		if f.open.Err() == nil {
			f.log.Warn("what changed cannot be read for live clients, they read listings instead", "since", since,
				"too_many", err == nil, "error", err)
		}
		return nil, false
	}
	records := make([]record, len(found))
	for i := range found {
		if records[i], err = recordOf(&found[i]); err != nil {
			f.log.Error("record cannot be written as JSON", "run_key", found[i].RunKey, "error", err)
			return nil, false
		}
	}
	return records, true
}
