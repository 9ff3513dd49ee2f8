package events

import (
	"encoding/base64"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// openEnvelope replaces a CloudEvents 1.0 envelope by the event inside. In structured mode the envelope is the payload
// and the event its data; in binary mode the payload is the event and the envelope stands in ce-* headers. Either gives
// id and occurredAt where the event itself lacks them.
func (o *object) openEnvelope(header map[string][]string) *Rejection {
	structured, rejected := structuredMode(header)
	if rejected != nil {
		return rejected
	}
	if structured || o[fieldSpecVersion] != nil && (o[fieldData] != nil || o[fieldDataBase64] != nil) {
		return o.takeData()
	}
	if headerValue(header, "ce-specversion") != "" {
		o.fill(ceHeader(header, "ce-id"), ceHeader(header, "ce-time"))
	}
	return nil
}

// structuredMode tells whether the content type makes the payload an envelope. Media types have no case, and may have
// parameters.
func structuredMode(header map[string][]string) (bool, *Rejection) {
	mediaType, _, _ := strings.Cut(strings.ToLower(headerValue(header, "content-type")), ";")
	mediaType = strings.TrimSpace(mediaType)
	format, ours := strings.CutPrefix(mediaType, "application/cloudevents")
	switch {
	case !ours:
		return false, nil
	case format == "" || format == "+json":
		return true, nil
	case strings.HasPrefix(format, "-batch"):
		return false, &Rejection{Reason: Malformed, Detail: "a batch of CloudEvents cannot be one message: publish " +
			"each as a message of its own"}
	}
	return false, &Rejection{Reason: Malformed, Detail: "CloudEvents can be read in their JSON format only, " +
		"application/cloudevents+json"}
}

// takeData makes o the event that stands in the data of the envelope o.
func (o *object) takeData() *Rejection {
	id, at, data := o[fieldID], o[fieldTime], o[fieldData]
	if encoded := o[fieldDataBase64]; encoded != nil {
		if data != nil {
			return &Rejection{Reason: Malformed, Detail: "a CloudEvent has data or data_base64, not both"}
		}
		var ok bool
		if data, ok = fromBase64(encoded); !ok {
			return &Rejection{Reason: Malformed, Detail: "data_base64 of the CloudEvent must be a string in base64"}
		}
	} else if data == nil || data.Kind() != '{' {
		return &Rejection{Reason: Malformed, Detail: "data of the CloudEvent must be a JSON object, not text that " +
			"holds one"}
	}
	*o = object{}
	if err := o.scan(data); err != nil { // not of data, which is valid as part of the message
		return &Rejection{Reason: Malformed, Detail: "data_base64 of the CloudEvent: " + malformedDetail(err)}
	}
	o.fill(id, at)
	return nil
}

func fromBase64(quoted jsontext.Value) ([]byte, bool) {
	s, ok := unquote(quoted)
	if !ok {
		return nil, false
	}
	data, err := base64.StdEncoding.DecodeString(s)
	return data, err == nil
}

func (o *object) fill(id, at jsontext.Value) {
	if o[fieldID] == nil {
		o[fieldID] = id
	}
	if o[fieldOccurredAt] == nil {
		o[fieldOccurredAt] = at
	}
}

// ceHeader reads an attribute, which is percent-encoded in a header, as a JSON string. Producers that follow an older
// text of the binding put it in double quotes instead.
func ceHeader(header map[string][]string, name string) jsontext.Value {
	value := unescapeQuoted(headerValue(header, name))
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

// unescapeQuoted returns what stands in a quoted string of RFC 7230 §3.2.6, and any other value as it is.
func unescapeQuoted(value string) string {
	if len(value) < 2 || value[0] != '"' || value[len(value)-1] != '"' {
		return value
	}
	var plain strings.Builder
	inner := value[1 : len(value)-1]
	for i := 0; i < len(inner); i++ {
		if inner[i] == '\\' && i+1 < len(inner) {
			i++
		}
		plain.WriteByte(inner[i])
	}
	return plain.String()
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
