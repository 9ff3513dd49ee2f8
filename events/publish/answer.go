package publish

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// answerReader reads what JetStream says of messages.
type answerReader struct {
	stream string // of the last acknowledgement: most are of the same
}

// read returns the acknowledgement, or the error that the answer is.
func (r *answerReader) read(m *nats.Msg) (jetstream.PubAck, error) {
	if ack, ok := r.plain(m.Data); ok {
		return ack, nil
	}
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		return jetstream.PubAck{}, jetstream.ErrNoStreamResponse
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
		jetstream.PubAck
	}
	switch err := json.Unmarshal(m.Data, &answer); {
	case err != nil || answer.Error == nil && answer.Stream == "":
		return jetstream.PubAck{}, jetstream.ErrInvalidJSAck
	case answer.Error != nil:
		return jetstream.PubAck{}, answer.Error
	}
	return answer.PubAck, nil
}

// plain reads {"stream":"NAME","seq":7}, which nearly all answers are, byte by byte as servers write it. It is false for
// all others.
func (r *answerReader) plain(data []byte) (jetstream.PubAck, bool) {
	rest, begins := bytes.CutPrefix(data, []byte(`{"stream":"`))
	name, rest, named := bytes.Cut(rest, []byte(`","seq":`))
	digits, ends := bytes.CutSuffix(rest, []byte(`}`))
	sequence, err := strconv.ParseUint(string(digits), 10, 64)
	if !begins || !named || !ends || err != nil || len(name) == 0 || bytes.ContainsAny(name, `"\`) {
		return jetstream.PubAck{}, false
	}
	if string(name) != r.stream {
		r.stream = string(name)
	}
	return jetstream.PubAck{Stream: r.stream, Sequence: sequence}, true
}
