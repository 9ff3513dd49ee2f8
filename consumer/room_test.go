package consumer

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func TestOutageHours(t *testing.T) {
	at := time.Date(2026, 2, 14, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		maxAge   time.Duration
		maxBytes int64
		bytes    uint64
		span     time.Duration
		want     float64
		bounded  bool
	}{
		"a quiet stream loses messages by age":       {48 * time.Hour, 1000, 0, 0, 48, true},
		"a filling one refuses them before":          {48 * time.Hour, 1000, 200, 2 * time.Hour, 8, true},
		"a full one at once":                         {48 * time.Hour, 1000, 1001, 2 * time.Hour, 0, true},
		"a slow one loses them by age":               {48 * time.Hour, 1000, 1, 24 * time.Hour, 48, true},
		"one that is full soon, and expires before":  {48 * time.Hour, 1000, 970, 47 * time.Hour, 48, true},
		"one that expires has room where it is full": {48 * time.Hour, 1000, 1000, 48 * time.Hour, 0, true},
		"without bounds nothing is lost":             {0, -1, 200, 2 * time.Hour, 0, false},
		"bytes alone":                                {0, 1000, 500, 2 * time.Hour, 2, true},
		"the first minute says nothing of the rate":  {48 * time.Hour, 1000, 900, time.Second, 48, true},
	} {
		info := &jetstream.StreamInfo{
			Config: jetstream.StreamConfig{MaxAge: c.maxAge, MaxBytes: c.maxBytes},
			State:  jetstream.StreamState{Bytes: c.bytes, FirstTime: at, LastTime: at.Add(c.span)},
		}
		if got, bounded := OutageHours(info); got != c.want || bounded != c.bounded {
			t.Errorf("%s: %v hours, bounded %v; want %v, %v", name, got, bounded, c.want, c.bounded)
		}
	}
}
