package sinktest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

func (s suite) deadLetterTests() []test {
	return []test{
		{"DeadLetterIsKeptAsItIs", s.deadLetterKept},
		{"DeadLettersBeyondTheLimitAreCounted", s.deadLetterLimit},
		{"SubjectMayHoldAnyBytes", s.oddSubjects},
		{"DeadLettersOfARunAreCounted", s.countDeadLetters},
		{"DeadLettersOfEveryEpochAreKept", s.deadLettersOfEpochs},
	}
}

// bury makes a batch of dead letters only, at the next sequences.
func bury(w *Writer, letters ...sinks.DeadLetter) *sinks.Batch {
	b := w.Fold()
	for i := range letters {
		b.Next.Sequence++
		b.Next.DeadLetters++
		letters[i].Sequence = b.Next.Sequence
		if letters[i].Time.IsZero() {
			letters[i].Time = epoch
		}
	}
	b.DeadLetters = letters
	return b
}

func buryAll(t testing.TB, w *Writer, letters ...sinks.DeadLetter) {
	t.Helper()
	if err := w.Commit(t.Context(), bury(w, letters...)); err != nil {
		t.Fatal(err)
	}
}

func (s suite) deadLetterKept(t *testing.T) {
	store, db := s.open(t, Options{})
	w := NewWriter(t, store, stream)
	payload := make([]byte, sinks.MaxDeadPayload)
	for i := range payload {
		payload[i] = byte(i)
	}
	letters := []sinks.DeadLetter{
		{Subject: "runs.c.r", CampaignID: "c", RunID: "r", Reason: events.Invalid, Field: "metrics.tokensIn",
			Detail: `is "required"; 'and' \ more`, Payload: payload},
		{Subject: "x", Reason: events.Malformed, Payload: []byte{}},
		{Subject: "x", Reason: events.TooLarge},
	}
	buryAll(t, w, letters...)
	rows := db.rows(t, `SELECT stream, epoch, sequence, subject, campaign_id, run_id, reason, field, detail, payload
		FROM dead_letters ORDER BY sequence`)
	if len(rows) != len(letters) {
		t.Fatalf("%d dead letters", len(rows))
	}
	for i, d := range letters {
		want := []string{stream, "1", fmt.Sprint(i + 1), d.Subject, d.CampaignID, d.RunID, string(d.Reason), d.Field, d.Detail,
			string(d.Payload)}
		if got := rows[i]; strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("dead letter %q\nwant %q", got, want)
		}
		if !bytes.Equal([]byte(rows[i][9]), d.Payload) {
			t.Errorf("payload of %d bytes, want %d", len(rows[i][9]), len(d.Payload))
		}
	}
}

func (s suite) deadLetterLimit(t *testing.T) {
	store, db := s.open(t, Options{DeadLetterLimit: 5})
	letters := func(n int, reason events.Reason) []sinks.DeadLetter {
		list := make([]sinks.DeadLetter, n)
		for i := range list {
			list[i] = sinks.DeadLetter{Subject: "x", Reason: reason}
		}
		return list
	}
	w, other := NewWriter(t, store, stream), NewWriter(t, store, "OTHER")
	counts := func(want string) {
		t.Helper()
		got := fmt.Sprint(db.rows(t, `SELECT stream, reason, kept, dropped, first_dropped, last_dropped FROM dead_letter_counts
			ORDER BY stream, reason`))
		if got != want {
			t.Errorf("counts %s\nwant   %s", got, want)
		}
	}
	buryAll(t, w, letters(3, events.Malformed)...) // sequences 1-3
	counts("[[RUN_EVENTS malformed 3 0 NULL NULL]]")
	buryAll(t, w, append(letters(4, events.Malformed), letters(2, events.Invalid)...)...) // 4-7 and 8-9
	counts("[[RUN_EVENTS invalid 2 0 NULL NULL] [RUN_EVENTS malformed 5 2 6 7]]")
	buryAll(t, other, letters(7, events.Malformed)...) // 1-7 of another stream
	buryAll(t, w, letters(40, events.Malformed)...)    // 10-49
	counts("[[OTHER malformed 5 2 6 7] [RUN_EVENTS invalid 2 0 NULL NULL] [RUN_EVENTS malformed 5 42 6 49]]")
	// The limit holds for a store that is opened anew.
	w.Store = db.open(t, Options{DeadLetterLimit: 5})
	buryAll(t, w, letters(1, events.Malformed)...)
	counts("[[OTHER malformed 5 2 6 7] [RUN_EVENTS invalid 2 0 NULL NULL] [RUN_EVENTS malformed 5 43 6 50]]")

	got := fmt.Sprint(db.rows(t, "SELECT stream, sequence FROM dead_letters ORDER BY stream, sequence"))
	if want := "[[OTHER 1] [OTHER 2] [OTHER 3] [OTHER 4] [OTHER 5] " +
		"[RUN_EVENTS 1] [RUN_EVENTS 2] [RUN_EVENTS 3] [RUN_EVENTS 4] [RUN_EVENTS 5] [RUN_EVENTS 8] [RUN_EVENTS 9]]"; got != want {
		t.Errorf("kept %s\nwant %s", got, want)
	}
	if p := position(t, store, stream); p.DeadLetters != 50 || p.Sequence != 50 {
		t.Errorf("position %+v", p)
	}
}

func (s suite) oddSubjects(t *testing.T) {
	store, db := s.open(t, Options{})
	w := NewWriter(t, store, stream)
	odd := []string{"", "\x00", "runs.\x00\x00c.r", "\xff\xfe", "runs.\xc3.r\xed\xa0\x80", "runs.🚀.é", "$1 ' \" \\",
		strings.Repeat("x", 4096)}
	var letters []sinks.DeadLetter
	for _, s := range odd {
		letters = append(letters, sinks.DeadLetter{Subject: s, CampaignID: s, RunID: s, Reason: events.SubjectMismatch, Detail: s})
	}
	buryAll(t, w, letters...)
	rows := db.rows(t, "SELECT subject, campaign_id, run_id, detail FROM dead_letters ORDER BY sequence")
	if len(rows) != len(odd) {
		t.Fatalf("%d dead letters of %d", len(rows), len(odd))
	}
	for i, row := range rows {
		for _, text := range row {
			if utf8.ValidString(odd[i]) && text != strings.ReplaceAll(odd[i], "\x00", "") {
				t.Errorf("%q became %q", odd[i], text)
			}
			if !utf8.ValidString(text) || strings.Contains(text, "\x00") {
				t.Errorf("%q became %q", odd[i], text)
			}
		}
		// Whoever asks with the same bytes finds it.
		if n, err := store.CountDeadLetters(t.Context(), odd[i], odd[i]); err != nil || n == 0 {
			t.Errorf("count of %q: %d, %v", odd[i], n, err)
		}
	}
}

func (s suite) countDeadLetters(t *testing.T) {
	store, _ := s.open(t, Options{})
	a, b := NewWriter(t, store, "A"), NewWriter(t, store, "B")
	named := func(campaign, run string) sinks.DeadLetter {
		return sinks.DeadLetter{Subject: "x", Reason: events.Invalid, CampaignID: campaign, RunID: run}
	}
	buryAll(t, a, named("c", "r"), named("c", "R"), named("C", "r"), named("c", ""), named("", ""))
	buryAll(t, b, named("c", "r"))
	for _, c := range []struct {
		campaign, run string
		want          int64
	}{{"c", "r", 2}, {"c", "R", 1}, {"C", "r", 1}, {"c", "x", 0}, {"%", "%", 0}} {
		if n, err := store.CountDeadLetters(t.Context(), c.campaign, c.run); n != c.want || err != nil {
			t.Errorf("%d of %s/%s, want %d: %v", n, c.campaign, c.run, c.want, err)
		}
	}
}

// deadLettersOfEpochs: a stream that was recreated numbers its messages from 1 again.
func (s suite) deadLettersOfEpochs(t *testing.T) {
	store, db := s.open(t, Options{})
	w := NewWriter(t, store, stream)
	buryAll(t, w, sinks.DeadLetter{Subject: "old", Reason: events.Malformed})
	b := bury(w, sinks.DeadLetter{Subject: "new", Reason: events.Malformed})
	b.Next = succeed(w.Position)
	b.Next.Sequence, b.Next.DeadLetters, b.DeadLetters[0].Sequence = 1, 1, 1
	if err := w.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(db.rows(t, "SELECT epoch, sequence, subject FROM dead_letters ORDER BY epoch"))
	if want := "[[1 1 old] [2 1 new]]"; got != want {
		t.Errorf("dead letters %s, want %s", got, want)
	}
}
