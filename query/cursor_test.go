package query

import (
	"encoding/base64"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/sinks"
)

func TestCursorComesBackAsItWasForItsOwnFiltersOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(0, 4, -1)
		filter := sinks.Filter{
			CampaignID: text.Draw(t, "campaign"), RunID: text.Draw(t, "run"), Phase: text.Draw(t, "phase"),
			Status: rapid.SampledFrom([]aggregate.Status{"", aggregate.Running}).Draw(t, "status"),
			Since:  time.UnixMicro(rapid.Int64Range(0, 3).Draw(t, "since")),
		}
		c := sinks.Cursor{
			CreatedAt: time.UnixMicro(rapid.Int64Range(firstTime.UnixMicro(), lastTime.UnixMicro()).Draw(t, "at")).UTC(),
			RunKey:    uuid.NewSHA1(uuid.Nil, []byte(text.Draw(t, "key"))),
		}
		encoded := encodeCursor(c, filter)
		if got, err := decodeCursor(encoded, filter); err != nil || got != c {
			t.Fatalf("got %v, %v; want %v", got, err, c)
		}
		other := filter
		other.CampaignID, other.RunID = filter.RunID+"x", filter.CampaignID
		if _, err := decodeCursor(encoded, other); err != errOtherFilters {
			t.Fatalf("with other filters: %v", err)
		}
		moved := filter
		moved.IdleSince = time.Now()
		if _, err := decodeCursor(encoded, moved); err != nil {
			t.Fatalf("a while later: %v", err)
		}
	})
}

func FuzzCursor(f *testing.F) {
	filter := sinks.Filter{CampaignID: "c"}
	f.Add(encodeCursor(sinks.Cursor{CreatedAt: testStart, RunKey: testKey.UUID()}, filter))
	f.Add("")
	f.Add("AQ")
	f.Add(base64.RawURLEncoding.EncodeToString(make([]byte, cursorSize)))
	f.Fuzz(func(t *testing.T, s string) {
		c, err := decodeCursor(s, filter)
		if err != nil {
			return
		}
		if again := encodeCursor(c, filter); again != s {
			t.Errorf("%q is accepted, and written as %q", s, again)
		}
	})
}

func TestCursorOfNoPossibleRunIsRefused(t *testing.T) {
	for name, at := range map[string]time.Time{"before 2000": firstTime.Add(-1000), "beyond a store": time.UnixMicro(1<<63 - 1)} {
		if _, err := decodeCursor(encodeCursor(sinks.Cursor{CreatedAt: at}, sinks.Filter{}), sinks.Filter{}); err != errCursor {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzLetterCursor(f *testing.F) {
	filter := sinks.LetterFilter{RunID: "r"}
	f.Add(encodeLetterCursor(sinks.LetterID{Stream: "RUN_EVENTS", Epoch: 1, Sequence: 7}, filter))
	f.Add(encodeCursor(sinks.Cursor{CreatedAt: testStart}, sinks.Filter{RunID: "r"}))
	f.Add(base64.RawURLEncoding.EncodeToString(make([]byte, letterCursorBytes+1)))
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := decodeLetterCursor(s, filter)
		if err != nil {
			return
		}
		if again := encodeLetterCursor(id, filter); again != s {
			t.Errorf("%q is accepted, and written as %q", s, again)
		}
		if id.Stream == "" || id.Epoch < 0 || int64(id.Sequence) < 0 {
			t.Errorf("%q is %+v", s, id)
		}
	})
}
