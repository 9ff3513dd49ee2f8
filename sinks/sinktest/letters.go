package sinktest

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

func (s suite) letterTests() []test {
	return []test{
		{"LettersComeBackAsTheyWereKept", s.lettersComeBack},
		{"EveryFilterOfLettersSelectsWhatItSays", s.letterFilters},
		{"PagesOfLettersHaveNoGapsAndNoRepeats", s.letterPages},
		{"AResolvedLetterCountsNoMore", s.resolveLetters},
		{"ResolvedLettersMakeRoom", s.resolvedMakeRoom},
		{"ResolvedLettersAreDroppedByAge", s.dropResolved},
		{"LettersAreResolvedWhileOthersCome", s.resolveDuringCommits},
		{"OneOfManyResolvesALetter", s.rivalResolutions},
	}
}

// letterOf makes a dead letter of a run.
func letterOf(run events.Key, reason events.Reason, at time.Time) sinks.DeadLetter {
	return sinks.DeadLetter{Subject: events.Subject(run.CampaignID, run.RunID), CampaignID: run.CampaignID, RunID: run.RunID,
		Reason: reason, Time: at, Payload: []byte(reason)}
}

// lettersOf reads all that a filter selects.
func lettersOf(t testing.TB, store sinks.Letters, f sinks.LetterFilter) []sinks.Letter {
	t.Helper()
	list, err := store.Letters(t.Context(), f, nil, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// sequences shows which letters these are.
func sequences(list []sinks.Letter) string {
	var names []string
	for i := range list {
		names = append(names, fmt.Sprintf("%s/%d/%d", list[i].Stream, list[i].Epoch, list[i].Sequence))
	}
	return fmt.Sprint(names)
}

func resolutions(text string, list ...sinks.Letter) []sinks.Resolution {
	all := make([]sinks.Resolution, len(list))
	for i := range list {
		all[i] = sinks.Resolution{LetterID: list[i].ID(), Text: text}
	}
	return all
}

func resolve(t testing.TB, store sinks.Letters, want int64, list ...sinks.Resolution) {
	t.Helper()
	if n, err := store.ResolveLetters(t.Context(), list, epoch.Add(time.Hour)); n != want || err != nil {
		t.Fatalf("resolved %d, want %d: %v", n, want, err)
	}
}

func (s suite) lettersComeBack(t *testing.T) {
	store, _ := s.open(t, Options{})
	w := NewWriter(t, store, stream)
	want := sinks.DeadLetter{Subject: "runs.c.r", CampaignID: "c", RunID: "r", Reason: events.Invalid, Field: "tokensIn",
		Detail: `is "required"; 'and' \ more`, Time: epoch.Add(123456 * time.Microsecond), Payload: []byte("\x00\xff{")}
	buryAll(t, w, want, sinks.DeadLetter{Subject: "x", Reason: events.Malformed})
	want.Sequence = 1
	same := func(what string, got sinks.Letter) {
		t.Helper()
		expected := sinks.Letter{Stream: stream, Epoch: 1, DeadLetter: want}
		if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", expected); g != w {
			t.Errorf("%s: %s\nwant %s", what, g, w)
		}
	}
	list := lettersOf(t, store, sinks.LetterFilter{Payloads: true})
	if len(list) != 2 {
		t.Fatalf("%d letters", len(list))
	}
	same("listed", list[0])
	for _, of := range []int64{0, 1} {
		got, found, err := store.Letter(t.Context(), sinks.LetterID{Stream: stream, Epoch: of, Sequence: 1})
		if !found || err != nil {
			t.Fatalf("found %v: %v", found, err)
		}
		same("alone", got)
	}
	for _, id := range []sinks.LetterID{{Stream: stream, Epoch: 2, Sequence: 1}, {Stream: "OTHER", Sequence: 1}, {Stream: stream, Sequence: 3}} {
		if _, found, err := store.Letter(t.Context(), id); found || err != nil {
			t.Errorf("%+v: found %v, %v", id, found, err)
		}
	}
	if brief := lettersOf(t, store, sinks.LetterFilter{}); len(brief) != 2 || len(brief[0].Payload) != 0 || brief[0].Detail != want.Detail {
		t.Errorf("without payload: %+v", brief)
	}
}

// correspondence writes letters of two streams, two reasons and four runs, one a minute, and resolves the third of each
// stream.
func correspondence(t testing.TB, store sinks.Store) {
	t.Helper()
	for _, name := range []string{"B", "A"} {
		w := NewWriter(t, store, name)
		for i := range 8 {
			run := events.Key{CampaignID: fmt.Sprint("c", i%2), RunID: fmt.Sprint("r", i/4)}
			reason := []events.Reason{events.Malformed, events.Invalid}[i/2%2]
			buryAll(t, w, letterOf(run, reason, epoch.Add(time.Duration(i)*time.Minute)))
		}
		resolve(t, store, 1, sinks.Resolution{LetterID: sinks.LetterID{Stream: name, Epoch: 1, Sequence: 3}, Text: "dropped: old"})
	}
}

func (s suite) letterFilters(t *testing.T) {
	store, _ := s.open(t, Options{})
	correspondence(t, store)
	for _, c := range []struct {
		f    sinks.LetterFilter
		want string
	}{
		{sinks.LetterFilter{Stream: "A"}, "[A/1/1 A/1/2 A/1/4 A/1/5 A/1/6 A/1/7 A/1/8]"},
		{sinks.LetterFilter{Stream: "A", Resolved: true, Reason: events.Invalid}, "[A/1/3 A/1/4 A/1/7 A/1/8]"},
		{sinks.LetterFilter{Reason: events.Invalid, CampaignID: "c0"}, "[A/1/7 B/1/7]"},
		{sinks.LetterFilter{RunID: "r1", CampaignID: "c1"}, "[A/1/6 A/1/8 B/1/6 B/1/8]"},
		{sinks.LetterFilter{Since: epoch.Add(6 * time.Minute)}, "[A/1/7 A/1/8 B/1/7 B/1/8]"},
		{sinks.LetterFilter{Stream: "B", Since: epoch.Add(time.Minute), Until: epoch.Add(4 * time.Minute)}, "[B/1/2 B/1/4]"},
		{sinks.LetterFilter{CampaignID: "c\x000", Stream: "A"}, "[A/1/1 A/1/5 A/1/7]"}, // as the name was kept
		{sinks.LetterFilter{Stream: "a"}, "[]"},
		{sinks.LetterFilter{CampaignID: "%"}, "[]"},
	} {
		if got := sequences(lettersOf(t, store, c.f)); got != c.want {
			t.Errorf("%+v: %s\nwant %s", c.f, got, c.want)
		}
		counts, err := store.LetterCounts(t.Context(), c.f)
		if err != nil {
			t.Fatal(err)
		}
		all := c.f
		all.Resolved = true
		var open, resolved int
		for _, n := range counts {
			open += int(n.Open)
			resolved += int(n.Resolved)
		}
		if listed := len(lettersOf(t, store, all)); open+resolved != listed {
			t.Errorf("%+v: %d open and %d resolved are counted, %d listed", c.f, open, resolved, listed)
		}
	}
}

func (s suite) letterPages(t *testing.T) {
	store, _ := s.open(t, Options{})
	correspondence(t, store)
	w := NewWriter(t, store, "B")
	b := bury(w, letterOf(key("late"), events.Refused, epoch))
	b.Next = succeed(w.Position)
	b.Next.Sequence, b.Next.DeadLetters, b.DeadLetters[0].Sequence = 1, 1, 1
	if err := w.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	oldest := lettersOf(t, store, sinks.LetterFilter{})
	newest := slices.Clone(oldest)
	slices.Reverse(newest)
	for _, size := range []int{1, 2, 5} {
		for f, want := range map[sinks.LetterFilter][]sinks.Letter{{}: oldest, {NewestFirst: true}: newest} {
			if got, want := sequences(pagesOf(t, store, f, size)), sequences(want); got != want {
				t.Errorf("pages of %d, %+v: %s\nwant %s", size, f, got, want)
			}
		}
	}
	got, found, err := store.Letter(t.Context(), sinks.LetterID{Stream: "B", Sequence: 1})
	if err != nil || !found || got.Epoch != 2 {
		t.Errorf("sequence 1 is %+v, found %v: %v; want the one of the newest epoch", got, found, err)
	}
}

// pagesOf reads all that a filter selects page by page.
func pagesOf(t testing.TB, store sinks.Letters, f sinks.LetterFilter, size int) (all []sinks.Letter) {
	t.Helper()
	var after *sinks.LetterID
	for {
		page, err := store.Letters(t.Context(), f, after, size)
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, page...); len(page) < size {
			return all
		}
		id := page[len(page)-1].ID()
		after = &id
	}
}

func (s suite) resolveLetters(t *testing.T) {
	store, db := s.open(t, Options{})
	w := NewWriter(t, store, stream)
	run := key("r")
	buryAll(t, w, letterOf(run, events.Invalid, epoch), letterOf(run, events.Invalid, epoch), letterOf(run, events.Malformed, epoch))
	open := lettersOf(t, store, sinks.LetterFilter{})
	stranger := sinks.Letter{Stream: "OTHER", Epoch: 1}
	resolve(t, store, 2, resolutions("requeued as sequence 9 of "+stream, open[0], open[2], stranger)...)
	resolve(t, store, 0, resolutions("dropped: too late", open[0])...)

	first, _, err := store.Letter(t.Context(), open[0].ID())
	if err != nil || first.Resolution != "requeued as sequence 9 of "+stream || !first.ResolvedAt.Equal(epoch.Add(time.Hour)) {
		t.Errorf("%+v: %v", first, err)
	}
	if got := sequences(lettersOf(t, store, sinks.LetterFilter{})); got != "["+stream+"/1/2]" {
		t.Errorf("open are %s", got)
	}
	counts, err := store.LetterCounts(t.Context(), sinks.LetterFilter{})
	want := []sinks.LetterCount{{Stream: stream, Reason: events.Invalid, Open: 1, Resolved: 1},
		{Stream: stream, Reason: events.Malformed, Resolved: 1}}
	if err != nil || !slices.Equal(counts, want) {
		t.Errorf("counts %+v: %v", counts, err)
	}
	if got := fmt.Sprint(db.rows(t, "SELECT reason, kept FROM dead_letter_counts ORDER BY reason")); got != "[[invalid 1] [malformed 0]]" {
		t.Errorf("kept %s", got)
	}
	if n, err := store.CountDeadLetters(t.Context(), run.CampaignID, run.RunID); n != 1 || err != nil {
		t.Errorf("%d of the run: %v", n, err)
	}
}

// resolvedMakeRoom: the store that resolves is not the one that commits, as a command is not the service. The commit that
// comes next may still count its letters only.
func (s suite) resolvedMakeRoom(t *testing.T) {
	store, db := s.open(t, Options{DeadLetterLimit: 3})
	other := db.open(t, Options{})
	w := NewWriter(t, store, stream)
	for range 5 {
		buryAll(t, w, letterOf(key("r"), events.Invalid, epoch)) // 1-3 are kept, 4 and 5 counted
	}
	resolve(t, other, 2, resolutions("dropped: known", lettersOf(t, other, sinks.LetterFilter{})[:2]...)...)
	buryAll(t, w, letterOf(key("r"), events.Invalid, epoch))
	for range 5 {
		buryAll(t, w, letterOf(key("r"), events.Invalid, epoch))
	}
	if n := len(lettersOf(t, other, sinks.LetterFilter{})); n != 3 {
		t.Errorf("%d open letters, want 3", n)
	}
	counts, err := other.LetterCounts(t.Context(), sinks.LetterFilter{})
	if err != nil || len(counts) != 1 {
		t.Fatalf("%+v: %v", counts, err)
	}
	if c := counts[0]; c.Open != 3 || c.Resolved != 2 || c.Open+c.Resolved+c.Dropped != 11 || c.FirstDropped != 4 || c.LastDropped != 11 {
		t.Errorf("counts %+v", c)
	}
}

func (s suite) dropResolved(t *testing.T) {
	store, db := s.open(t, Options{})
	w := NewWriter(t, store, stream)
	for range 4 {
		buryAll(t, w, letterOf(key("r"), events.Invalid, epoch))
	}
	list := lettersOf(t, store, sinks.LetterFilter{})
	for i, days := range []int{1, 2, 3} {
		at := epoch.AddDate(0, 0, days)
		if _, err := store.ResolveLetters(t.Context(), resolutions("dropped: known", list[i]), at); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := store.DropResolved(t.Context(), epoch.AddDate(0, 0, 3)); n != 2 || err != nil {
		t.Errorf("dropped %d: %v", n, err)
	}
	if got := sequences(lettersOf(t, store, sinks.LetterFilter{Resolved: true})); got != fmt.Sprintf("[%s/1/3 %s/1/4]", stream, stream) {
		t.Errorf("left are %s", got)
	}
	if got := fmt.Sprint(db.rows(t, "SELECT kept FROM dead_letter_counts")); got != "[[1]]" {
		t.Errorf("kept %s", got)
	}
}

// resolveDuringCommits: two streams' readers add letters of the same reasons that others resolve in any order, on stores of
// their own. In the end each letter is open, resolved or counted only, and what is kept is what is open.
func (s suite) resolveDuringCommits(t *testing.T) {
	const commits, each, limit, enough = 40, 3, 12, 4 * 12
	var resolved atomic.Int64
	store, db := s.open(t, Options{DeadLetterLimit: limit})
	reasons := []events.Reason{events.Malformed, events.Invalid}
	g, ctx := errgroup.WithContext(t.Context())
	done, stop := context.WithCancel(ctx)
	writers, _ := errgroup.WithContext(ctx)
	for _, name := range []string{"A", "B"} {
		w := NewWriter(t, db.open(t, Options{DeadLetterLimit: limit}), name)
		writers.Go(func() error {
			for i := 0; i < commits || resolved.Load() < enough; i++ {
				var letters []sinks.DeadLetter
				for i := range each * len(reasons) {
					letters = append(letters, letterOf(key("r"), reasons[i%len(reasons)], epoch))
				}
				if err := w.Commit(ctx, bury(w, letters...)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	g.Go(func() error { defer stop(); return writers.Wait() })
	for i := range 2 {
		resolver := db.open(t, Options{})
		g.Go(func() error {
			for done.Err() == nil {
				list, err := resolver.Letters(ctx, sinks.LetterFilter{}, nil, 7+i)
				if err != nil {
					return err
				}
				slices.Reverse(list)
				n, err := resolver.ResolveLetters(ctx, resolutions("dropped: known", list...), epoch)
				if err != nil {
					return err
				}
				resolved.Add(n)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	counts, err := store.LetterCounts(t.Context(), sinks.LetterFilter{})
	if err != nil || len(counts) != 4 {
		t.Fatalf("%+v: %v", counts, err)
	}
	kept := db.rows(t, "SELECT kept FROM dead_letter_counts ORDER BY stream, reason")
	var sum int64
	for i, c := range counts {
		sum += c.Resolved
		all := position(t, store, c.Stream).DeadLetters / int64(len(reasons))
		if c.Open+c.Resolved+c.Dropped != all || c.Open > limit || fmt.Sprint(c.Open) != kept[i][0] {
			t.Errorf("%+v, kept %s, written %d", c, kept[i][0], all)
		}
	}
	if sum != resolved.Load() {
		t.Errorf("%d rows say that they are resolved, %d were", sum, resolved.Load())
	}
}

func (s suite) rivalResolutions(t *testing.T) {
	store, db := s.open(t, Options{})
	w := NewWriter(t, store, stream)
	letters := make([]sinks.DeadLetter, 50)
	for i := range letters {
		letters[i] = letterOf(key("r"), events.Invalid, epoch)
	}
	buryAll(t, w, letters...)
	list := lettersOf(t, store, sinks.LetterFilter{})
	var g errgroup.Group
	resolved := make([]int64, 4)
	for i := range resolved {
		rival := db.open(t, Options{})
		mine := slices.Clone(list)
		if i%2 > 0 {
			slices.Reverse(mine)
		}
		g.Go(func() (err error) {
			resolved[i], err = rival.ResolveLetters(t.Context(), resolutions(fmt.Sprint("dropped: by ", i), mine...), epoch)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	var sum int64
	for i, n := range resolved {
		sum += n
		rows := db.rows(t, fmt.Sprintf("SELECT count(*) FROM dead_letters WHERE resolution = 'dropped: by %d'", i))
		if rows[0][0] != fmt.Sprint(n) {
			t.Errorf("rival %d resolved %d, and %s rows say so", i, n, rows[0][0])
		}
	}
	if kept := db.rows(t, "SELECT kept FROM dead_letter_counts"); sum != int64(len(list)) || kept[0][0] != "0" {
		t.Errorf("%v resolved, %s kept", resolved, kept[0][0])
	}
}
