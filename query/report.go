package query

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/apexsalesai/runmetrics/events"
)

// maxReport is the greatest accepted body of a report in bytes: an event's.
const maxReport = events.MaxSize

// idempotencyKey is the header that carries the event's id.
const idempotencyKey = "Idempotency-Key"

// reportBody describes the body of a report. The contract of events decides what is valid; nothing is read into this,
// because a float could not hold the money.
type reportBody struct {
	CampaignID       string       `json:"campaignId" minLength:"1" maxLength:"64"`
	RunID            string       `json:"runId" minLength:"1" maxLength:"64"`
	Phase            string       `json:"phase" minLength:"1" maxLength:"16"`
	AgentsTotal      int64        `json:"agentsTotal" minimum:"0" maximum:"1000000000"`
	AgentsSuccessful int64        `json:"agentsSuccessful" minimum:"0" maximum:"1000000000" doc:"Not greater than agentsTotal."`
	AssetsGenerated  int64        `json:"assetsGenerated" minimum:"0" maximum:"9007199254740991"`
	TokensIn         int64        `json:"tokensIn" minimum:"0" maximum:"9007199254740991"`
	TokensOut        int64        `json:"tokensOut" minimum:"0" maximum:"9007199254740991"`
	CostUSD          costSchema   `json:"costUSD"`
	LatencyP95Ms     numberSchema `json:"latencyP95Ms"`
	LatencyAvgMs     numberSchema `json:"latencyAvgMs"`
	CreatedAt        *string      `json:"createdAt" required:"false" format:"date-time" doc:"When the run took place; now where absent. From the year 2000 to a day ahead."`
}

type (
	costSchema   struct{}
	numberSchema struct{}
)

// Schema allows what a decimal can be written as.
func (costSchema) Schema(huma.Registry) *huma.Schema {
	zero, most := 0.0, 1e9
	return &huma.Schema{
		Description: "US dollars, rounded half even to nine fraction digits.",
		OneOf: []*huma.Schema{
			{Type: huma.TypeNumber, Minimum: &zero, Maximum: &most},
			{Type: huma.TypeString, Pattern: `^(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`},
		},
	}
}

func (numberSchema) Schema(huma.Registry) *huma.Schema {
	zero, most := 0.0, float64(1<<31-1)
	return &huma.Schema{Type: huma.TypeNumber, Minimum: &zero, Maximum: &most,
		Description: "Milliseconds, a fraction is rounded half up."}
}

// exampleReport is the body that the documentation shows.
const exampleReport = `{"campaignId":"api-test-001","runId":"api-run-001","phase":"2-3","agentsTotal":3,"agentsSuccessful":3,` +
	`"assetsGenerated":8,"tokensIn":1000,"tokensOut":2000,"costUSD":0.002,"latencyP95Ms":45000,"latencyAvgMs":38000}`

// reportedNumbers are the properties that become the metrics of the event, as they are written.
var reportedNumbers = []string{"agentsTotal", "agentsSuccessful", "assetsGenerated", "tokensIn", "tokensOut", "costUSD",
	"latencyP95Ms", "latencyAvgMs"}

// reportedEvent makes the run.reported event that a body stands for, and lets the contract of events judge it: there is
// one validator. The raw text of each value is carried over. The error is a problem that names every bad field by where
// the client wrote it.
func reportedEvent(body []byte, id string, now time.Time) (events.Event, error) {
	properties, err := propertiesOf(body)
	if err != nil {
		return events.Event{}, problem(http.StatusBadRequest, "the body "+err.Error())
	}
	b := append([]byte(nil), `{"type":"run.reported"`...)
	b = appendProperty(b, "id", events.AppendQuoted(nil, id))
	b = appendProperties(b, properties, "campaignId", "runId", "phase")
	createdAt := properties["createdAt"]
	if createdAt == nil || string(createdAt) == "null" {
		createdAt = events.AppendQuoted(nil, now.UTC().Format(time.RFC3339Nano))
	}
	b = appendProperty(b, "occurredAt", createdAt)
	metrics := appendProperties([]byte{'{'}, properties, reportedNumbers...)
	b = appendProperty(b, "metrics", append(metrics, '}'))
	e, rejection := events.Decode(events.Message{Data: append(b, '}'), Time: now})
	switch {
	case rejection == nil && utf8.ValidString(id):
		return e, nil
	case rejection == nil:
		return events.Event{}, invalid([]*huma.ErrorDetail{bad("header."+idempotencyKey, "must be UTF-8")})
	}
	return events.Event{}, refusedReport(rejection)
}

// refusedReport says to a client in its own terms what the contract refuses.
func refusedReport(r *events.Rejection) error {
	if r.Reason == events.TooLarge {
		return tooLarge(maxReport)
	}
	if len(r.Fields) == 0 {
		return problem(http.StatusBadRequest, "the body must not repeat names")
	}
	fields := make([]*huma.ErrorDetail, len(r.Fields))
	for i, f := range r.Fields {
		location := "body." + strings.TrimPrefix(f.Field, "metrics.")
		switch f.Field {
		case "id":
			location = "header." + idempotencyKey
		case "occurredAt":
			location = "body.createdAt"
		}
		fields[i] = bad(location, f.Problem)
	}
	return invalid(fields)
}

func tooLarge(limit int64) *huma.ErrorModel {
	return problem(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is over %d bytes", limit))
}

func appendProperties(b []byte, properties map[string]json.RawMessage, names ...string) []byte {
	for _, name := range names {
		if raw, given := properties[name]; given {
			b = appendProperty(b, name, raw)
		}
	}
	return b
}

func appendProperty(b []byte, name string, raw []byte) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = append(b, '"')
	b = append(b, name...)
	b = append(b, '"', ':')
	return append(b, raw...)
}

// propertiesOf splits a body into its properties without reading their values. Names are compared exactly, and a
// repeated one is an error: two readers could take different values from it.
func propertiesOf(body []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(body) {
		return nil, errors.New("must be UTF-8")
	}
	var whole json.RawMessage
	if err := json.Unmarshal(body, &whole); err != nil {
		return nil, fmt.Errorf("is not valid JSON: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return nil, errors.New("must be a JSON object")
	}
	properties := map[string]json.RawMessage{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("is not valid JSON: %w", err)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, fmt.Errorf("is not valid JSON: %w", err)
		}
		if _, twice := properties[name.(string)]; twice {
			return nil, errors.New("must not repeat names")
		}
		properties[name.(string)] = value
	}
	return properties, nil
}
