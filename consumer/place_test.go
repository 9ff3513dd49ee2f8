package consumer

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// delivered is a message without a header.
type delivered struct {
	jetstream.Msg
	subject, reply string
}

func (m delivered) Subject() string      { return m.subject }
func (m delivered) Reply() string        { return m.reply }
func (m delivered) Headers() nats.Header { return nil }
func (m delivered) Data() []byte         { return []byte("{}") }

func TestAnItemKnowsItsPlace(t *testing.T) {
	t.Parallel()
	b := newInbox(false)
	b.receive(delivered{subject: "runs.c.r", reply: "$JS.ACK._.AC3.RUN_EVENTS.runmetrics_messages-main.1.7.3.1792000000000000000.41"})
	items := b.take(10, maxInboxBytes)
	if len(items) != 1 || items[0].sequence != 7 || items[0].pending != 41 || items[0].time.UnixNano() != 1792000000000000000 {
		t.Errorf("%+v", items)
	}
}

// TestThePlaceOfAMessageIsWhatTheClientSays, for subjects that the server writes and for others.
func TestThePlaceOfAMessageIsWhatTheClientSays(t *testing.T) {
	t.Parallel()
	number := func() uint64 { return rand.Uint64N(1 << rand.UintN(61)) }
	for range 10_000 {
		tail := fmt.Sprintf("RUN_EVENTS.runmetrics_messages-main.1.%d.%d.%d.%d", number(), number(), number(), number())
		for _, reply := range []string{"$JS.ACK." + tail, "$JS.ACK._.AC3." + tail, "$JS.ACK.hub.AC3." + tail + ".x7"} {
			m := &nats.Msg{Reply: reply, Sub: &nats.Subscription{}}
			want, err := m.Metadata()
			if err != nil {
				t.Fatalf("%s: %v", reply, err)
			}
			p, ok := placeOf(reply)
			if !ok || p.sequence != want.Sequence.Stream || !p.time.Equal(want.Timestamp) || p.pending != want.NumPending {
				t.Fatalf("%s: %+v %v, want %+v", reply, p, ok, want)
			}
		}
	}
	for _, reply := range []string{"", "_INBOX.x", "$JS.ACK.", "$JS.ACK.S.C.1.2.3.4", "$JS.ACK.S.C.1.2.3.4.", "$JS.ACK.S.C.1.x.3.4.5",
		"$JS.ACK.S.C.1..3.4.5", "$JS.ACK.S.C.1.2.3.4.5.6", "$JS.NAK.S.C.1.2.3.4.5", "$JS.ACK.S.C.1.-2.3.4.5",
		"$JS.ACK.S.C.1.99999999999999999999999.3.4.5"} {
		if p, ok := placeOf(reply); ok {
			t.Errorf("%q is %+v", reply, p)
		}
	}
}
