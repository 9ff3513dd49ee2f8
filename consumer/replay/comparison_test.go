package replay_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/consumer/replay"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// ofRun selects the chunks of a run.
const ofRun = "number = (SELECT number FROM campaign_metrics WHERE run_key = ?)"

// TestDamageIsFoundAndRepaired damages a run each way that somebody's statement may, once with a stream that holds all.
func TestDamageIsFoundAndRepaired(t *testing.T) {
	t.Parallel()
	whole := runs(9, "a", "b", "c")
	void := events.Event{Key: keyOf("b"), ID: "void", Type: events.ExecutionsVoided, OccurredAt: whole[0].OccurredAt,
		Voids: []string{"b-3", "b-never"}}
	whole = append(whole, void)
	for name, damage := range map[string]struct {
		statement string
		verdict   replay.Verdict
		fields    []string // that differ
		missing   int64    // executions
	}{
		"figures":          {"UPDATE campaign_metrics SET tokens_in = 1, cost_usd = '0.5' WHERE run_key = ?", replay.Different, []string{"tokensIn", "costUSD"}, 0},
		"a negative cost":  {"UPDATE campaign_metrics SET cost_usd = '-3' WHERE run_key = ?", replay.Different, []string{"costUSD"}, 0},
		"more executions":  {"UPDATE campaign_metrics SET executions = 99 WHERE run_key = ?", replay.Different, []string{"executions"}, 0},
		"an earlier begin": {"UPDATE campaign_metrics SET created_at = '2020-01-01T00:00:00.000000Z' WHERE run_key = ?", replay.Different, []string{"createdAt"}, 0},
		"status":           {"UPDATE campaign_metrics SET status = 'failed', finished_at = NULL WHERE run_key = ?", replay.Different, []string{"status", "finishedAt"}, 0},
		"names":            {"UPDATE campaign_metrics SET campaign_id = 'x', phase = 'y' WHERE run_key = ?", replay.Different, []string{"campaignId", "phase"}, 0},
		"the row":          {"DELETE FROM campaign_metrics WHERE run_key = ?", replay.Missing, nil, 0},
		"voided ids":       {"DELETE FROM voided_events WHERE run_key = ?", replay.Different, nil, 0},
		"more voided ids":  {"INSERT INTO voided_events VALUES (?, 'b-1')", replay.Different, nil, 0},
		"all executions":   {"DELETE FROM event_chunks WHERE " + ofRun, replay.Different, nil, 9},
		"some executions":  {"DELETE FROM event_chunks WHERE version = 1 AND " + ofRun, replay.Different, nil, 4},
		"one of a commit": {`UPDATE event_chunks SET events = json_remove(events, '$[0]') WHERE version = 1 AND ` + ofRun,
			replay.Different, nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := openLedger(t)
			l.write(t, whole)
			want := l.contents(t)
			l.exec(t, damage.statement, id("b"))
			damaged := l.contents(t)

			c, found := l.compare(t, false, listed{list: whole})
			if len(found) != 1 || found[0].RunID != "b" || found[0].Verdict != damage.verdict || found[0].Executions != damage.missing || found[0].Repaired {
				t.Fatalf("found %+v", found)
			}
			if damage.fields != nil {
				var fields []string
				for _, f := range found[0].Fields {
					fields = append(fields, f.Field)
				}
				if !slices.Equal(fields, damage.fields) {
					t.Errorf("fields %q differ, want %q", fields, damage.fields)
				}
			}
			if c.Counts.Runs != 3 || c.Counts.Equal != 2 || c.Counts.Left() != 1 || c.Counts.Messages != int64(len(whole)) {
				t.Errorf("counts %+v", c.Counts)
			}
			if now := l.contents(t); now != damaged {
				t.Errorf("a dry run changed the store:\n%s", now)
			}
			c, found = l.compare(t, true, listed{list: whole})
			if len(found) != 1 || !found[0].Repaired || c.Counts.Left() != 0 || c.Counts.Repaired != 1 {
				t.Errorf("repaired %+v, %+v", found, c.Counts)
			}
			if now := l.contents(t); now != want {
				t.Errorf("after the repair:\n%s\nwant:\n%s", now, want)
			}
			if c, found = l.compare(t, false, listed{list: whole}); len(found) != 0 || c.Counts.Equal != 3 {
				t.Errorf("found again: %+v", found)
			}
		})
	}
}

func TestAnEmptyStoreIsFilledFromArchiveAndStream(t *testing.T) {
	t.Parallel()
	whole := runs(9, "a", "b", "c", "d")
	conflicting := whole[0]
	conflicting.TokensIn = 999
	archive, stream := listed{list: whole[:15], file: true}, listed{list: append(slices.Clone(whole[11:]), conflicting), first: 12}
	l, want := openLedger(t), openLedger(t)
	want.write(t, whole)
	if _, found := l.compare(t, false, archive, stream); len(found) != 4 || l.contents(t) != "" {
		t.Errorf("dry run: %+v", found)
	}
	c, found := l.compare(t, true, archive, stream)
	if c.Counts.Missing+c.Counts.Truncated != 4 {
		t.Errorf("counts %+v", c.Counts)
	}
	// Those that begin with the stream may have begun before it, as far as anybody can tell.
	wantVerdicts := map[string]replay.Verdict{"a": replay.Missing, "b": replay.Missing, "c": replay.Truncated, "d": replay.Truncated}
	if got := verdicts(found); !maps.Equal(got, wantVerdicts) {
		t.Errorf("verdicts %v, want %v", got, wantVerdicts)
	}
	c, _ = l.comparison(true, archive, stream)
	c.AcceptTruncated = true
	if err := c.Run(t.Context()); err != nil || c.Counts.Left() != 0 {
		t.Fatalf("%+v, %v", c.Counts, err)
	}
	if got, want := l.contents(t), want.contents(t); got != want {
		t.Errorf("filled:\n%s\nwant:\n%s", got, want)
	}
}

// TestRunsWhoseBeginningIsGoneAreNotTouched has a stream that lost its first messages. What it lacks could make right
// numbers wrong.
func TestRunsWhoseBeginningIsGoneAreNotTouched(t *testing.T) {
	t.Parallel()
	whole := runs(40, "a", "b", "c", "d")
	l := openLedger(t)
	l.write(t, whole)
	want := l.contents(t)
	tail := listed{list: whole[20:], first: 21}
	l.exec(t, "DELETE FROM event_chunks WHERE version = 1 AND "+ofRun, id("a")) // its beginning is nowhere any more
	l.exec(t, "UPDATE campaign_metrics SET tokens_in = 1 WHERE run_key = ?", id("b"))
	l.exec(t, "DELETE FROM event_chunks WHERE "+ofRun, id("c"))
	l.exec(t, "DELETE FROM campaign_metrics WHERE run_key = ?", id("c"))
	damaged := l.contents(t)
	_, found := l.compare(t, false, tail)
	got := verdicts(found)
	if want := map[string]replay.Verdict{"a": replay.BeginningGone, "b": replay.BeginningGone, "c": replay.Missing}; !maps.Equal(got, want) {
		t.Fatalf("verdicts %v, want %v", got, want)
	}
	if now := l.contents(t); now != damaged {
		t.Errorf("the store was changed:\n%s", now)
	}
	if _, found = l.compare(t, true, tail); verdicts(found)["a"] != replay.BeginningGone {
		t.Errorf("with --apply: %+v", found)
	}
	// The archive that holds the rest makes all of it right.
	if c, _ := l.compare(t, true, listed{list: whole[:60], file: true}, tail); c.Counts.Left() != 0 {
		t.Errorf("with the archive: %+v", c.Counts)
	}
	if now := l.contents(t); now != want {
		t.Errorf("repaired:\n%s\nwant:\n%s", now, want)
	}
}

func TestWhatTheSourcesLackIsNotTakenForAll(t *testing.T) {
	t.Parallel()
	whole := runs(20, "a")
	l := openLedger(t)
	l.write(t, whole)
	l.exec(t, "DELETE FROM event_chunks WHERE version = 2 AND "+ofRun, id("a"))
	before := l.contents(t)
	// The stream begins at 1, but the run's first events came from elsewhere: neither holds those of the second commit.
	_, found := l.compare(t, true, listed{list: whole[15:]})
	if len(found) != 1 || found[0].Verdict != replay.BeginningGone || found[0].Repaired {
		t.Errorf("found %+v", found)
	}
	if now := l.contents(t); now != before {
		t.Errorf("the store was changed:\n%s", now)
	}
}

func TestSealedAndDamagedRunsAreLeftAlone(t *testing.T) {
	t.Parallel()
	whole := runs(9, "sealed", "damaged", "fine")
	l := openLedger(t)
	l.write(t, whole)
	record, _, err := l.Get(t.Context(), keyOf("sealed").UUID())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Seal(t.Context(), []aggregate.Metrics{record}, time.Now()); err != nil {
		t.Fatal(err)
	}
	l.exec(t, "UPDATE event_chunks SET events = '[[1]]' WHERE version = 1 AND "+ofRun, id("damaged"))
	c, found := l.compare(t, true, listed{list: whole})
	if got := verdicts(found); !maps.Equal(got, map[string]replay.Verdict{"damaged": replay.Damaged}) {
		t.Errorf("verdicts %v", got)
	}
	if c.Counts.Sealed != 1 || c.Counts.Damaged != 1 || c.Counts.Equal != 1 || c.Counts.Left() != 1 {
		t.Errorf("counts %+v", c.Counts)
	}
}

// TestALongRunIsAmendedInPieces lacks more events than one amendment takes, and is interrupted between two.
func TestALongRunIsAmendedInPieces(t *testing.T) {
	t.Parallel()
	whole := runs(25_000, "long")
	l := openLedger(t)
	l.write(t, whole[:3])
	c, _ := l.comparison(true, listed{list: whole}, listed{list: runs(2, "short")})
	var versions []int64
	died := errors.New("died")
	c.Store = &repairs{l.Store, func(b *sinks.Batch) (bool, error) {
		if m := b.Runs[0].Metrics; m.RunID == "long" {
			versions = append(versions, m.Version)
			if len(versions) == 2 {
				return false, died
			}
		}
		return false, nil
	}}
	if err := c.Run(t.Context()); !errors.Is(err, died) {
		t.Fatal(err)
	}
	held, err := l.Holdings(t.Context(), []events.Key{keyOf("long")})
	if err != nil {
		t.Fatal(err)
	}
	if n := held[0].Run.Len(); n != 10_003 || *held[0].Record.Executions != int64(n) {
		t.Errorf("%d events and %d executions after the first piece", n, *held[0].Record.Executions)
	}
	again, found := l.compare(t, true, listed{list: whole}, listed{list: runs(2, "short")})
	if again.Counts.Left() != 0 || len(found) == 0 {
		t.Errorf("%+v", again.Counts)
	}
	record, _, err := l.Get(t.Context(), keyOf("long").UUID())
	if err != nil {
		t.Fatal(err)
	}
	want := folded(whole)
	want.Version, want.UpdatedAt = record.Version, record.UpdatedAt
	if changes := replay.Changes(&record, &want); changes != nil {
		t.Errorf("the long run: %+v", changes)
	}
}

// TestOthersMayCommitMeanwhile has the service commit to runs between the look at them and their amendment, an answer lost,
// and a store that is away for a moment.
func TestOthersMayCommitMeanwhile(t *testing.T) {
	t.Parallel()
	whole := runs(9, "a", "b", "c", "d")
	l, want := openLedger(t), openLedger(t)
	late := finished("b", 77)
	late.CampaignID = "campaign"
	want.write(t, append(slices.Clone(whole), late))
	w := l.write(t, whole[:25])
	c, _ := l.comparison(true, listed{list: whole})
	tries := 0
	c.Store = &repairs{l.Store, func(b *sinks.Batch) (bool, error) {
		switch tries++; tries {
		case 1:
			return false, w.Write(context.Background(), late, whole[35])
		case 2:
			return true, fmt.Errorf("lost on the way: %w", sinks.ErrUnavailable)
		case 3:
			if err := l.Amend(context.Background(), b); err != nil {
				return false, err
			}
			return true, fmt.Errorf("the answer is lost: %w", sinks.ErrUnavailable)
		}
		return false, nil
	}}
	l.exec(t, "UPDATE campaign_metrics SET tokens_in = 1 WHERE run_key = ?", id("b"))
	if err := c.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c.Counts.Left() != 0 || tries < 3 {
		t.Errorf("%+v after %d tries", c.Counts, tries)
	}
	if got, want := l.contents(t), want.contents(t); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestARefusedRunStandsAlone(t *testing.T) {
	t.Parallel()
	whole := runs(3, "a", "b", "c", "d", "e")
	l := openLedger(t)
	c, found := l.comparison(true, listed{list: whole})
	c.Place.Parts = 1
	c.Store = &repairs{l.Store, func(b *sinks.Batch) (bool, error) {
		if slices.ContainsFunc(b.Runs, func(r sinks.RunChange) bool { return r.Metrics.RunID == "d" }) {
			return false, fmt.Errorf("a value: %w", sinks.ErrRefused)
		}
		return false, nil
	}}
	if err := c.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c.Counts.Repaired != 4 || c.Counts.StoreRefuses != 1 || verdicts(*found)["d"] != replay.Refused {
		t.Errorf("%+v, %v", c.Counts, verdicts(*found))
	}
}

// TestAnInterruptedComparisonGoesOn stops after each part, and finds the same in all as one that was not stopped.
func TestAnInterruptedComparisonGoesOn(t *testing.T) {
	t.Parallel()
	var names []string
	for i := range 40 {
		names = append(names, fmt.Sprint("run ", i))
	}
	whole := runs(3, names...)
	l := openLedger(t)
	l.write(t, whole)
	l.exec(t, "UPDATE campaign_metrics SET tokens_in = 1 WHERE run_key < '8'")
	once, all := l.compare(t, false, listed{list: whole})
	place, counts := replay.Place{Parts: 4}, replay.Counts{}
	var found []replay.Difference
	for stops := 0; ; stops++ {
		c, part := l.comparison(false, listed{list: whole})
		c.Place, c.Counts = place, counts
		ctx, stop := context.WithCancel(t.Context())
		c.Settled = func() {
			place, counts = c.Place, c.Counts
			found = append(found, *part...)
			*part = nil
			stop()
		}
		err := c.Run(ctx)
		stop()
		if place.Done == place.Parts {
			break
		}
		if !errors.Is(err, context.Canceled) || stops > 4 {
			t.Fatalf("stop %d: %v at %+v", stops, err, place)
		}
	}
	if !slices.EqualFunc(found, all, func(a, b replay.Difference) bool { return a.RunKey == b.RunKey && a.Verdict == b.Verdict }) {
		t.Errorf("found %v, want %v", verdicts(found), verdicts(all))
	}
	if counts.Runs != once.Counts.Runs || counts.Different != once.Counts.Different || counts.Different == 0 {
		t.Errorf("counts %+v, want %+v", counts, once.Counts)
	}
}

func TestARangeChoosesRunsNotEvents(t *testing.T) {
	t.Parallel()
	whole := runs(9, "a", "b", "c")
	l := openLedger(t)
	c, found := l.comparison(true, listed{list: whole})
	c.Chosen = replay.NewChosen()
	c.Select = []replay.Source{listed{list: whole[12:13], first: 13}} // in the midst of b
	if err := c.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(*found) != 1 || (*found)[0].RunID != "b" || (*found)[0].Executions != 9 || !(*found)[0].Repaired {
		t.Errorf("found %+v", *found)
	}
	for subject, want := range map[string]bool{"runs.campaign.b": true, "runs.3.campaign.b": true, "runs.campaign.a": false, "x": true} {
		if c.Chosen.Subject(subject) != want {
			t.Errorf("subject %s: %t", subject, !want)
		}
	}
}
