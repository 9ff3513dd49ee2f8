package publish

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestAnswersAreReadAsJetStreamWritesThem(t *testing.T) {
	t.Parallel()
	var r answerReader
	for data, want := range map[string]jetstream.PubAck{
		`{"stream":"RUN_EVENTS","seq":7}`:                     {Stream: "RUN_EVENTS", Sequence: 7},
		`{"stream":"RUN_EVENTS", "seq": 7}`:                   {Stream: "RUN_EVENTS", Sequence: 7},
		`{"stream":"OTHER","seq":18446744073709551615}`:       {Stream: "OTHER", Sequence: 1<<64 - 1},
		`{"stream":"RUN_EVENTS","seq":7,"duplicate": true}`:   {Stream: "RUN_EVENTS", Sequence: 7, Duplicate: true},
		`{"stream":"RUN_EVENTS","domain":"hub","seq":7}`:      {Stream: "RUN_EVENTS", Sequence: 7, Domain: "hub"},
		`{"seq":7,"stream":"RUN_EVENTS","from_the_future":1}`: {Stream: "RUN_EVENTS", Sequence: 7},
		`{"stream":"\u0041","seq":7}`:                         {Stream: "A", Sequence: 7},
	} {
		if ack, err := r.read(&nats.Msg{Data: []byte(data)}); err != nil || ack != want {
			t.Errorf("%s: %+v, %v", data, ack, err)
		}
	}
	for _, data := range []string{"", "+OK", `{}`, `{"stream":"","seq":7}`, `{"stream":"A","seq":}`, `{"stream":"A","seq":-1}`, `{"stream":"A","seq":7`} {
		if ack, err := r.read(&nats.Msg{Data: []byte(data)}); !errors.Is(err, jetstream.ErrInvalidJSAck) {
			t.Errorf("%s: %+v, %v", data, ack, err)
		}
	}
	var full *jetstream.APIError
	_, err := r.read(&nats.Msg{Data: []byte(`{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"},"stream":"RUN_EVENTS","seq":0}`)})
	if !errors.As(err, &full) || !IsFull(err) || !passing(err) {
		t.Errorf("full: %v", err)
	}
	_, err = r.read(&nats.Msg{Header: nats.Header{"Status": {"503"}}})
	if !errors.Is(err, jetstream.ErrNoStreamResponse) || IsFull(err) || !passing(err) {
		t.Errorf("no stream: %v", err)
	}
	_, err = r.read(&nats.Msg{Data: []byte(`{"error":{"code":400,"err_code":10054,"description":"message size exceeds maximum allowed"}}`)})
	if err == nil || passing(err) {
		t.Errorf("too large: %v", err)
	}
}
