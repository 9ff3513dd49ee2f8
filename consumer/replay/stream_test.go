package replay_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/consumer/replay"
	"github.com/apexsalesai/runmetrics/events"
)

func TestAStreamIsReadInItsOrderAsOftenAsWanted(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	list := b.publishRuns(t, 2_500)
	s := b.open(t, replay.StreamConfig{})
	if from, to := s.Span(); from != 1 || to != 2_500 || s.First != 1 || s.Messages != 2_500 || s.FirstTime.IsZero() || s.Bytes == 0 {
		t.Fatalf("span %d to %d of %+v", from, to, s.StreamState)
	}
	for range 2 {
		n := 0
		err := s.Read(t.Context(), func(r *replay.Record) error {
			if r.Rejected != nil || string(events.Encode(&r.Event)) != string(events.Encode(&list[n])) {
				t.Fatalf("record %d is %+v", n, r)
			}
			if n++; r.Sequence != uint64(n) || r.Size != len(events.Encode(&r.Event)) || r.Time.Before(s.FirstTime) {
				t.Fatalf("record %d is %+v", n, r)
			}
			return nil
		})
		if err != nil || n != len(list) || s.Position() != 2_500 {
			t.Fatalf("%d records, position %d, error %v", n, s.Position(), err)
		}
	}
}

func TestAStreamEndsWhereItWasWhenItWasOpened(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	b.publishRuns(t, 100)
	s := b.open(t, replay.StreamConfig{})
	b.publishRuns(t, 100)
	if got := sequences(t, s); !slices.Equal(got, countTo(100)) {
		t.Errorf("read %v", got)
	}
}

func TestRangesOfSequenceAndTime(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	b.publishRuns(t, 40)
	at := func(sequence uint64) time.Time {
		m, err := b.stream(t).GetMsg(t.Context(), sequence)
		if err != nil {
			t.Fatal(err)
		}
		return m.Time
	}
	last := at(40).Add(time.Hour)
	for name, c := range map[string]struct {
		replay.Range
		want []uint64
	}{
		"all":              {replay.Range{}, countTo(40)},
		"from a sequence":  {replay.Range{FromSequence: 31}, between(31, 40)},
		"to a sequence":    {replay.Range{ToSequence: 7}, countTo(7)},
		"sequences":        {replay.Range{FromSequence: 7, ToSequence: 9}, between(7, 9)},
		"behind the end":   {replay.Range{FromSequence: 41, ToSequence: 99}, nil},
		"upside down":      {replay.Range{FromSequence: 9, ToSequence: 7}, nil},
		"from a time":      {replay.Range{From: at(31)}, between(31, 40)},
		"to a time":        {replay.Range{To: at(8)}, countTo(7)},
		"times":            {replay.Range{From: at(8), To: at(20)}, between(8, 19)},
		"before the start": {replay.Range{To: at(1)}, nil},
		"after the end":    {replay.Range{From: last}, nil},
		"to the future":    {replay.Range{From: at(1), To: last}, countTo(40)},
		"both":             {replay.Range{From: at(8), ToSequence: 12}, between(8, 12)},
	} {
		if got := sequences(t, b.open(t, replay.StreamConfig{Range: c.Range})); !slices.Equal(got, c.want) {
			t.Errorf("%s: read %v, want %v", name, got, c.want)
		}
	}
}

func TestAFilterSelectsRunsOnPlainAndPartitionedSubjects(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	var messages []*nats.Msg
	for i, names := range [][3]string{{"c.1", "r 1", "a"}, {"c.1", "r 1", "b"}, {"c.1", "r 2", "a"}, {"c", "r 1", "a"}} {
		e := finished(names[1], i)
		e.CampaignID, e.Phase = names[0], names[2]
		plain, partitioned := messageOf(&e), messageOf(&e)
		partitioned.Subject = strings.Replace(plain.Subject, "runs.", "runs.7.", 1)
		messages = append(messages, plain, partitioned)
	}
	// Nobody knows the phase of what cannot be decoded.
	messages = append(messages, &nats.Msg{Subject: "runs.c%2E1.r%202", Data: []byte("not JSON")})
	b.publish(t, messages...)
	for name, c := range map[string]struct {
		replay.Filter
		want []uint64
	}{
		"none":         {replay.Filter{}, countTo(9)},
		"campaign":     {replay.Filter{CampaignID: "c.1"}, []uint64{1, 2, 3, 4, 5, 6, 9}},
		"run":          {replay.Filter{RunID: "r 1"}, []uint64{1, 2, 3, 4, 7, 8}},
		"both":         {replay.Filter{CampaignID: "c.1", RunID: "r 2"}, []uint64{5, 6, 9}},
		"phase":        {replay.Filter{Phase: "b"}, []uint64{3, 4, 9}},
		"all three":    {replay.Filter{CampaignID: "c.1", RunID: "r 1", Phase: "b"}, []uint64{3, 4}},
		"nobody's run": {replay.Filter{CampaignID: "c.1", RunID: "r"}, nil},
	} {
		if got := sequences(t, b.open(t, replay.StreamConfig{Filter: c.Filter})); !slices.Equal(got, c.want) {
			t.Errorf("%s: read %v, want %v", name, got, c.want)
		}
	}
}

func TestWhatIsNotKeptIsNotDecoded(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	b.publishRuns(t, 100)
	asked := 0
	s := b.open(t, replay.StreamConfig{Keep: func(subject string) bool {
		asked++
		return strings.HasSuffix(subject, "run%204")
	}})
	if got := sequences(t, s); len(got) != 10 || got[0] != 5 || asked != 100 {
		t.Errorf("asked %d times, read %v", asked, got)
	}
}

func TestARejectedMessageHasTheNamesOfItsSubject(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	e := finished("r", 1)
	e.CampaignID = "other"
	b.publish(t,
		&nats.Msg{Subject: "runs.c%2E1.r", Data: []byte("{")},
		&nats.Msg{Subject: "runs.c.r", Data: events.Encode(&e)},
		&nats.Msg{Subject: "runs.odd", Data: nil})
	var got []string
	err := b.open(t, replay.StreamConfig{}).Read(t.Context(), func(r *replay.Record) error {
		got = append(got, string(r.Rejected.Reason)+" "+r.Event.CampaignID+" "+r.Event.RunID)
		return nil
	})
	want := []string{"malformed c.1 r", "subject_mismatch c r", "malformed  "}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("read %q, error %v, want %q", got, err, want)
	}
}

func TestAnEmptyStreamHasNothing(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	if got := sequences(t, b.open(t, replay.StreamConfig{})); len(got) > 0 {
		t.Errorf("read %v", got)
	}
	b.publishRuns(t, 10)
	if err := b.stream(t).Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := b.open(t, replay.StreamConfig{})
	if got := sequences(t, s); len(got) > 0 || s.First != 11 || s.Last != 10 {
		t.Errorf("read %v of %+v", got, s.StreamState)
	}
}

func TestGapsAndALostEndDoNotStopTheReading(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	b.publishRuns(t, 20)
	for _, gone := range []uint64{5, 6, 19, 20} {
		if err := b.stream(t).DeleteMsg(t.Context(), gone); err != nil {
			t.Fatal(err)
		}
	}
	s := b.open(t, replay.StreamConfig{})
	want := slices.Concat(countTo(4), between(7, 18))
	if got := sequences(t, s); !slices.Equal(got, want) || s.Last != 20 || s.Deleted == 0 || s.Position() != 20 {
		t.Errorf("read %v of %+v, position %d", got, s.StreamState, s.Position())
	}
	if got := sequences(t, b.open(t, replay.StreamConfig{Filter: replay.Filter{RunID: "run 9"}})); !slices.Equal(got, []uint64{10}) {
		t.Errorf("read %v of a run", got)
	}
}

func TestWhatExpiresMeanwhileIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	b.publishRuns(t, 3_000)
	n := 0
	err := b.open(t, replay.StreamConfig{}).Read(t.Context(), func(r *replay.Record) error {
		if n++; n == 1 {
			return b.stream(t).Purge(t.Context())
		}
		return nil
	})
	if err != nil || n < 1 || n == 3_000 {
		t.Errorf("%d records, error %v", n, err)
	}
}

func TestALostConsumerOrConnectionCostsNothing(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	b.publishRuns(t, 6_000)
	var got []uint64
	err := b.open(t, replay.StreamConfig{}).Read(t.Context(), func(r *replay.Record) error {
		got = append(got, r.Sequence)
		switch len(got) {
		case 1, 3_000:
			return b.deleteConsumers(t.Context())
		case 1_500, 3_500:
			return b.conn.ForceReconnect()
		}
		return nil
	})
	if err != nil || !slices.Equal(got, countTo(6_000)) {
		t.Errorf("%d records, error %v", len(got), err)
	}
}

func TestABrokerThatStaysAwayIsGivenUp(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	b.publishRuns(t, 3_000)
	s := b.open(t, replay.StreamConfig{})
	s.SetPatience(0)
	n := 0
	err := s.Read(t.Context(), func(*replay.Record) error {
		if n++; n == 1 {
			b.stop()
		}
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "go on from there when NATS answers again") || n == 3_000 {
		t.Errorf("%d records, error %v", n, err)
	}
}

func TestAStreamThatIsMadeAnewIsAnotherOne(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	b.publishRuns(t, 3_000)
	n := 0
	err := b.open(t, replay.StreamConfig{}).Read(t.Context(), func(*replay.Record) error {
		if n++; n == 1 {
			if err := b.js.DeleteStream(t.Context(), streamName); err != nil {
				return err
			}
			b.createStream(t)
		}
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "made anew") {
		t.Errorf("%d records, error %v", n, err)
	}
}

func TestARateIsHeld(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	b.publishRuns(t, 201)
	began := time.Now()
	got := sequences(t, b.open(t, replay.StreamConfig{Rate: 400}))
	if took := time.Since(began); len(got) != 201 || took < 490*time.Millisecond {
		t.Errorf("%d messages in %v", len(got), took)
	}
}

func TestTheCallerEndsTheReading(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	b.publishRuns(t, 100)
	s := b.open(t, replay.StreamConfig{})
	enough := errors.New("enough")
	if err := s.Read(t.Context(), func(*replay.Record) error { return enough }); err != enough {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	err := s.Read(ctx, func(*replay.Record) error {
		n++
		cancel()
		return nil
	})
	if n != 1 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d records, error %v", n, err)
	}
	names := b.stream(t).ConsumerNames(t.Context())
	for name := range names.Name() {
		t.Errorf("consumer %s is left", name)
	}
}

func TestAStreamThatIsNotThereIsAnError(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	if _, err := replay.OpenStream(t.Context(), b.js, replay.StreamConfig{Stream: "NONE"}); err == nil ||
		!strings.Contains(err.Error(), "open stream NONE") {
		t.Errorf("error %v", err)
	}
}

// BenchmarkStream measures how many messages of about 300 bytes are read in a second, decoded and not, beside what a plain
// consumer does.
func BenchmarkStream(b *testing.B) {
	k := startBroker(b)
	const n = 300_000
	k.publishRuns(b, n)
	measure := func(name string, read func(*testing.B)) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				read(b)
			}
			b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
	source := func(keep func(string) bool) func(*testing.B) {
		return func(b *testing.B) {
			s := k.open(b, replay.StreamConfig{Keep: keep})
			if err := s.Read(b.Context(), func(*replay.Record) error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
	}
	measure("Bare", func(b *testing.B) { k.bareRead(b, n) })
	measure("Undecoded", source(func(string) bool { return false }))
	measure("Decoded", source(nil))
}

// bareRead reads n messages by a plain consumer that does nothing with them.
func (b *broker) bareRead(t testing.TB, n int) {
	t.Helper()
	c, err := b.js.CreateConsumer(t.Context(), streamName, jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	consume, err := c.Consume(func(jetstream.Msg) {
		if n--; n == 0 {
			close(done)
		}
	}, jetstream.PullMaxMessages(10_000))
	if err != nil {
		t.Fatal(err)
	}
	defer consume.Stop()
	<-done
}
