package events

import (
	"net/url"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// openEnvelope replaces a CloudEvents 1.0 envelope by the event inside. In structured mode the envelope is the payload
// and the event its data; in binary mode the payload is the event and the envelope stands in ce-* headers. Either gives
// id and occurredAt where the event itself lacks them.
func (o *object) openEnvelope(header map[string][]string) *Rejection {
	structured := strings.HasPrefix(headerValue(header, "content-type"), "application/cloudevents")
	switch {
	case structured || o[fieldSpecVersion] != nil && o[fieldData] != nil:
		id, at, data := o[fieldID], o[fieldTime], o[fieldData]
		if data == nil || data.Kind() != '{' {
			return &Rejection{Reason: Malformed, Detail: "data of the CloudEvent must be a JSON object"}
		}
		*o = object{}
		_ = o.scan(data) // valid as part of the message
		o.fill(id, at)
	case headerValue(header, "ce-specversion") != "":
		o.fill(ceHeader(header, "ce-id"), ceHeader(header, "ce-time"))
	}
	return nil
}

func (o *object) fill(id, at jsontext.Value) {
	if o[fieldID] == nil {
		o[fieldID] = id
	}
	if o[fieldOccurredAt] == nil {
		o[fieldOccurredAt] = at
	}
}

// ceHeader reads an attribute, which is percent-encoded in a header, as a JSON string.
func ceHeader(header map[string][]string, name string) jsontext.Value {
	value := headerValue(header, name)
	if value == "" {
		return nil
	}
	if plain, err := url.PathUnescape(value); err == nil {
		value = plain
	}
	quoted, err := jsontext.AppendQuote(nil, value)
	if err != nil {
		return nil // not UTF-8: as good as absent, and then named as missing
	}
	return quoted
}

// headerValue looks a header up without regard to case: NATS keeps names as the producer wrote them. Of several spellings
// the first by bytes counts, so that decoding again gives the same event.
func headerValue(header map[string][]string, name string) string {
	found := ""
	for key, values := range header {
		if len(values) > 0 && strings.EqualFold(key, name) && (found == "" || key < found) {
			found = key
		}
	}
	if found == "" {
		return ""
	}
	return header[found][0]
}
