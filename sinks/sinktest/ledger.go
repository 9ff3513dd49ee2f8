package sinktest

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

func (s suite) ledgerTests() []test {
	return []test{
		{"PositionOfAnUnknownStreamIsEpochZero", s.unknownStream},
		{"PositionReadsBackAsCommitted", s.positionReadsBack},
		{"ReplayedCommitIsRefused", s.replayedCommit},
		{"CommitAfterAnothersCommitIsRefused", s.anothersCommit},
		{"NewEpochFollowsTheNewest", s.newEpoch},
		{"OneOfTwoRivalEpochsWins", s.rivalEpochs},
		{"StreamsMoveIndependently", s.independentStreams},
		{"IdentityIsTheDatabases", s.identity},
		{"ClosedStoreIsUnavailable", s.closedStore},
	}
}

const stream = "RUN_EVENTS"

func (s suite) unknownStream(t *testing.T) {
	store, _ := s.open(t, Options{})
	p, err := store.Position(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	if p != (sinks.Position{Stream: stream}) {
		t.Errorf("position of an unknown stream: %+v", p)
	}
}

// samePosition compares times by their instant and to the nanosecond.
func samePosition(t testing.TB, got, want sinks.Position) {
	t.Helper()
	if !got.Created.Equal(want.Created) || !got.MessageTime.Equal(want.MessageTime) {
		t.Errorf("position times %v, %v; want %v, %v", got.Created, got.MessageTime, want.Created, want.MessageTime)
	}
	got.Created, got.MessageTime = want.Created, want.MessageTime
	if got != want {
		t.Errorf("position %+v, want %+v", got, want)
	}
}

func position(t testing.TB, store sinks.Store, stream string) sinks.Position {
	t.Helper()
	p, err := store.Position(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (s suite) positionReadsBack(t *testing.T) {
	store, db := s.open(t, Options{})
	other := db.open(t, Options{})
	p := sinks.Position{Stream: stream}
	for _, next := range []sinks.Position{
		{Stream: stream, Epoch: 1, Created: time.Date(2026, 1, 1, 0, 0, 0, 1, time.UTC)},
		{Stream: stream, Epoch: 1, Created: time.Date(2026, 1, 1, 0, 0, 0, 999_999_999, time.UTC), Sequence: 10,
			MessageTime: epoch.Add(time.Nanosecond), Applied: 1, Duplicates: 2, DeadLetters: 3, Gone: 4},
		{Stream: stream, Epoch: 1, Created: time.Date(2026, 1, 1, 0, 0, 0, 999_999_999, time.UTC), Sequence: 1 << 62,
			Applied: 1<<62 - 9, Duplicates: 2, DeadLetters: 3, Gone: 4},
	} {
		if err := store.Commit(t.Context(), p, &sinks.Batch{Next: next, At: epoch}); err != nil {
			t.Fatal(err)
		}
		samePosition(t, position(t, other, stream), next)
		p = next
	}
}

func (s suite) replayedCommit(t *testing.T) {
	store, db := s.open(t, Options{Marks: true})
	w := NewWriter(t, store, stream)
	for range 3 {
		prev, b := w.Position, w.Fold(executions(key("r"), int(w.Position.Sequence), 2)...)
		if err := w.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		before := db.dump(t)
		if err := store.Commit(t.Context(), prev, b); !errors.Is(err, sinks.ErrPositionMoved) {
			t.Errorf("replayed commit: %v", err)
		}
		db.untouched(t, before)
	}
}

func (s suite) anothersCommit(t *testing.T) {
	store, db := s.open(t, Options{})
	mine, theirs := NewWriter(t, store, stream), NewWriter(t, db.open(t, Options{}), stream)
	if err := theirs.Write(t.Context(), execution(key("theirs"), "1")); err != nil {
		t.Fatal(err)
	}
	before := db.dump(t)
	// The first commit of a stream, and one that goes on from a position which others have left behind.
	if err := mine.Commit(t.Context(), mine.Fold(execution(key("mine"), "1"))); !errors.Is(err, sinks.ErrPositionMoved) {
		t.Errorf("first commit after another's first: %v", err)
	}
	db.untouched(t, before)
	if err := mine.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := theirs.Write(t.Context(), execution(key("theirs"), "2")); err != nil {
		t.Fatal(err)
	}
	before = db.dump(t)
	if err := mine.Commit(t.Context(), mine.Fold(execution(key("mine"), "1"))); !errors.Is(err, sinks.ErrPositionMoved) {
		t.Errorf("commit after another's: %v", err)
	}
	db.untouched(t, before)
}

// succeed makes the first position of the epoch after p.
func succeed(p sinks.Position) sinks.Position {
	return sinks.Position{Stream: p.Stream, Epoch: p.Epoch + 1, Created: p.Created.Add(time.Hour)}
}

func (s suite) newEpoch(t *testing.T) {
	store, db := s.open(t, Options{})
	w := NewWriter(t, store, stream)
	if err := w.Write(t.Context(), executions(key("r"), 0, 5)...); err != nil {
		t.Fatal(err)
	}
	old := w.Position
	next := succeed(old)
	if err := store.Commit(t.Context(), old, &sinks.Batch{Next: next, At: epoch}); err != nil {
		t.Fatal(err)
	}
	samePosition(t, position(t, store, stream), next)

	before := db.dump(t)
	after := old
	after.Sequence, after.Gone = old.Sequence+1, old.Gone+1
	jump := succeed(succeed(next))
	for name, c := range map[string]struct{ prev, next sinks.Position }{
		"the old epoch goes on":  {old, after},
		"the new epoch again":    {old, next},
		"an epoch in between":    {next, jump},
		"the first epoch anew":   {sinks.Position{Stream: stream}, next},
		"back to the old epoch":  {next, after},
		"from what never stood":  {after, succeed(after)},
		"from a future sequence": {withSequence(next, 7), succeed(next)},
	} {
		if err := store.Commit(t.Context(), c.prev, &sinks.Batch{Next: c.next, At: epoch}); err == nil {
			t.Errorf("%s: committed", name)
		}
		db.untouched(t, before)
	}

	// Older epochs stay as history, and the new one is read on.
	w.Position = next
	if err := w.Write(t.Context(), executions(key("r"), 3, 4)...); err != nil {
		t.Fatal(err)
	}
	p := position(t, store, stream)
	if p.Epoch != 2 || p.Sequence != 4 || p.Applied != 2 || p.Duplicates != 2 {
		t.Errorf("position in the new epoch: %+v", p)
	}
	if rows := db.rows(t, "SELECT epoch, sequence FROM stream_positions ORDER BY epoch"); len(rows) != 2 || rows[0][1] != "5" {
		t.Errorf("epochs: %v", rows)
	}
}

func withSequence(p sinks.Position, sequence uint64) sinks.Position {
	p.Sequence, p.Gone = sequence, int64(sequence)
	return p
}

func (s suite) rivalEpochs(t *testing.T) {
	store, db := s.open(t, Options{})
	other := db.open(t, Options{})
	p := sinks.Position{Stream: stream}
	for range 3 {
		errs := make(chan error, 2)
		for _, store := range []sinks.Store{store, other} {
			go func() { errs <- store.Commit(t.Context(), p, &sinks.Batch{Next: succeed(p), At: epoch}) }()
		}
		won := 0
		for range 2 {
			switch err := <-errs; {
			case err == nil:
				won++
			case !errors.Is(err, sinks.ErrPositionMoved):
				t.Errorf("rival epoch: %v", err)
			}
		}
		if won != 1 {
			t.Fatalf("%d of two rivals won", won)
		}
		p = position(t, store, stream)
	}
	if p.Epoch != 3 {
		t.Errorf("epoch %d after three", p.Epoch)
	}
}

func (s suite) independentStreams(t *testing.T) {
	store, _ := s.open(t, Options{})
	a, b := NewWriter(t, store, "A"), NewWriter(t, store, "B")
	for i := range 3 {
		if err := a.Write(t.Context(), executions(key("a"), i*2, 2)...); err != nil {
			t.Fatal(err)
		}
		if err := b.Write(t.Context(), executions(key("b"), i, 1)...); err != nil {
			t.Fatal(err)
		}
	}
	samePosition(t, position(t, store, "A"), a.Position)
	samePosition(t, position(t, store, "B"), b.Position)
	if a.Position.Sequence != 6 || b.Position.Sequence != 3 {
		t.Errorf("positions %d and %d", a.Position.Sequence, b.Position.Sequence)
	}
}

func (s suite) identity(t *testing.T) {
	store, db := s.open(t, Options{})
	strange, _ := s.open(t, Options{})
	read := func(store sinks.Store) sinks.Identity {
		identity, err := store.Identity(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if identity.Host == "" || identity.Database == "" || identity.Ledger == uuid.Nil {
			t.Errorf("identity with a blank: %+v", identity)
		}
		return identity
	}
	mine := read(store)
	if again := read(db.open(t, Options{})); again != mine {
		t.Errorf("another connection: %v and %v", mine, again)
	}
	if theirs := read(strange); theirs.Ledger == mine.Ledger {
		t.Errorf("two databases, one ledger id: %v", mine)
	}
}

func (s suite) closedStore(t *testing.T) {
	db := s.fresh(t)
	store, err := db.Open(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := NewWriter(t, store, stream)
	b := w.Fold(execution(key("r"), "1"))
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	_, positionErr := store.Position(t.Context(), stream)
	_, loadErr := store.Load(t.Context(), sinks.Position{Stream: stream}, []events.Key{key("r")})
	_, listErr := store.List(t.Context(), sinks.Filter{}, nil, 1)
	_, claimErr := store.Claim(t.Context(), sinks.Claim{Now: epoch, Limit: 1})
	_, settleErr := store.Settle(t.Context(), sinks.Settlement{Now: epoch})
	_, copiesErr := store.Copies(t.Context(), sinks.CopyFilter{}, uuid.Nil, 1)
	for call, err := range map[string]error{"Commit": w.Commit(t.Context(), b), "Position": positionErr, "Load": loadErr,
		"List": listErr, "Claim": claimErr, "Settle": settleErr, "Copies": copiesErr} {
		if !errors.Is(err, sinks.ErrUnavailable) {
			t.Errorf("%s of a closed store: %v", call, err)
		}
	}
}
