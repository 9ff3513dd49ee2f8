package query

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/apexsalesai/runmetrics/events"
)

// What one request may bring.
const (
	maxEvents      = 1000
	maxEventsBytes = 5_000_000
)

// Media types of events. Those of CloudEvents are envelopes with an event in each.
const (
	typeJSON      = "application/json"
	typeLines     = "application/x-ndjson"
	typeEnvelope  = "application/cloudevents+json"
	typeEnvelopes = "application/cloudevents-batch+json"
)

// readEvents reads the events of a request, each as the client wrote it: the one, those of the array, or the lines that
// are not blank. It tells them apart and judges none of them.
func readEvents(w http.ResponseWriter, r *http.Request) ([]events.Message, *huma.ErrorModel) {
	mediaType, refused := mediaTypeOf(r)
	if refused != nil {
		return nil, refused
	}
	body, refused := readBody(w, r, maxEventsBytes)
	if refused != nil {
		return nil, refused
	}
	list, refused := messagesOf(mediaType, r.Header, body)
	switch {
	case refused != nil:
		return nil, refused
	case len(list) == 0:
		return nil, problem(http.StatusBadRequest, "there is no event in the body")
	case len(list) > maxEvents:
		return nil, problem(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has over %d events", maxEvents))
	}
	return list, nil
}

// mediaTypeOf returns what the body is said to hold. Parameters, such as a charset, change nothing.
func mediaTypeOf(r *http.Request) (string, *huma.ErrorModel) {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		mediaType = ""
	}
	switch mediaType {
	case "application/ndjson":
		mediaType = typeLines
	case typeJSON, typeLines, typeEnvelope, typeEnvelopes:
	default:
		return "", problem(http.StatusUnsupportedMediaType, "Content-Type must be application/json for one event or an array, "+
			"application/x-ndjson for one a line, or application/cloudevents+json or application/cloudevents-batch+json")
	}
	return mediaType, nil
}

// messagesOf takes the body apart.
func messagesOf(mediaType string, header http.Header, body []byte) ([]events.Message, *huma.ErrorModel) {
	body = bytes.TrimLeft(body, " \t\r\n")
	array := len(body) > 0 && body[0] == '['
	switch {
	case len(body) == 0:
		return nil, nil
	case mediaType == typeEnvelopes && !array:
		return nil, problem(http.StatusBadRequest, "the body of "+typeEnvelopes+" must be an array of CloudEvents")
	case mediaType == typeEnvelopes:
		return elementsOf(body, http.Header{"Content-Type": {typeEnvelope}})
	case mediaType == typeEnvelope && array:
		return nil, problem(http.StatusBadRequest,
			"the body of "+typeEnvelope+" must be one CloudEvent; several are "+typeEnvelopes)
	case mediaType == typeEnvelope:
		return []events.Message{{Header: header, Data: body}}, nil
	case hasEnvelope(header):
		if refused := requireBinaryMode(mediaType, header, array); refused != nil {
			return nil, refused
		}
		return []events.Message{{Header: header, Data: body}}, nil
	case mediaType == typeLines:
		return linesOf(body), nil
	case array:
		return elementsOf(body, nil)
	}
	return []events.Message{{Data: body}}, nil
}

// hasEnvelope tells whether attributes of a CloudEvent stand in the header.
func hasEnvelope(header http.Header) bool {
	for name := range header {
		if strings.HasPrefix(name, "Ce-") {
			return true
		}
	}
	return false
}

// requireBinaryMode wants what a CloudEvent in binary mode is: the envelope of one event. Given to several, its id would
// make all but the first a duplicate.
func requireBinaryMode(mediaType string, header http.Header, array bool) *huma.ErrorModel {
	switch {
	case header.Get("Ce-Specversion") == "":
		return problem(http.StatusBadRequest, "among the ce- headers is no ce-specversion, which makes a CloudEvent")
	case mediaType != typeJSON || array:
		return problem(http.StatusBadRequest,
			"ce- headers are the envelope of one event: the body must be that event as application/json")
	}
	return nil
}

// linesOf returns the lines that are not blank, one more than may be there at the most.
func linesOf(body []byte) []events.Message {
	var list []events.Message
	for line := range bytes.SplitSeq(body, []byte{'\n'}) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if list = append(list, events.Message{Data: line}); len(list) > maxEvents {
			break
		}
	}
	return list
}

// elementsOf returns the raw elements of an array, one more than may be there at the most, each with the header. Where the
// array is broken, no element behind the fault could be told from the next.
func elementsOf(body []byte, header http.Header) ([]events.Message, *huma.ErrorModel) {
	broken := func(err error) *huma.ErrorModel {
		return problem(http.StatusBadRequest, "the array is not valid JSON: "+err.Error())
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if _, err := d.Token(); err != nil {
		return nil, broken(err)
	}
	var list []events.Message
	for d.More() {
		var element json.RawMessage
		if err := d.Decode(&element); err != nil {
			return nil, broken(err)
		}
		if list = append(list, events.Message{Header: header, Data: element}); len(list) > maxEvents {
			return list, nil
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, broken(err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, problem(http.StatusBadRequest, "there is something behind the array")
	}
	return list, nil
}
