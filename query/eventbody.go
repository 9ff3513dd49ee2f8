package query

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// What one request may bring.
const (
	maxEvents      = 1000
	maxEventsBytes = 5_000_000
)

// jsonLines are the media types of newline-delimited JSON.
var jsonLines = map[string]bool{"application/x-ndjson": true, "application/ndjson": true}

// readEvents reads the events of a request, each as the client wrote it: the one, those of the array, or the lines that
// are not blank. It tells them apart and judges none of them.
func readEvents(w http.ResponseWriter, r *http.Request) ([][]byte, *huma.ErrorModel) {
	mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if !jsonLines[mediaType] {
		if requireJSON(r) != nil {
			return nil, problem(http.StatusUnsupportedMediaType,
				"Content-Type must be application/json for one event or an array, or application/x-ndjson for one a line")
		}
	}
	body, refused := readBody(w, r, maxEventsBytes)
	if refused != nil {
		return nil, refused
	}
	list := [][]byte{body}
	switch begin := bytes.TrimLeft(body, " \t\r\n"); {
	case jsonLines[mediaType]:
		list = linesOf(body)
	case len(begin) == 0:
		list = nil
	case begin[0] == '[':
		if list, refused = elementsOf(body); refused != nil {
			return nil, refused
		}
	}
	switch {
	case len(list) == 0:
		return nil, problem(http.StatusBadRequest, "there is no event in the body")
	case len(list) > maxEvents:
		return nil, problem(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has over %d events", maxEvents))
	}
	return list, nil
}

// linesOf returns the lines that are not blank, one more than may be there at the most.
func linesOf(body []byte) [][]byte {
	var list [][]byte
	for line := range bytes.SplitSeq(body, []byte{'\n'}) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if list = append(list, line); len(list) > maxEvents {
			break
		}
	}
	return list
}

// elementsOf returns the raw elements of an array, one more than may be there at the most. Where the array is broken, no
// element behind the fault could be told from the next.
func elementsOf(body []byte) ([][]byte, *huma.ErrorModel) {
	broken := func(err error) *huma.ErrorModel {
		return problem(http.StatusBadRequest, "the array is not valid JSON: "+err.Error())
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if _, err := d.Token(); err != nil {
		return nil, broken(err)
	}
	var list [][]byte
	for d.More() {
		var element json.RawMessage
		if err := d.Decode(&element); err != nil {
			return nil, broken(err)
		}
		if list = append(list, element); len(list) > maxEvents {
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

// eventBody describes an event. The contract of events decides what is valid; nothing is read into this.
type eventBody struct {
	Version         *int64        `json:"version" required:"false" enum:"1"`
	ID              string        `json:"id" minLength:"1" maxLength:"128" doc:"Unique per event within its run."`
	Type            string        `json:"type" required:"false" default:"agent.finished" enum:"agent.finished,agent.started,run.started,run.finished,run.reported,executions.voided"`
	CampaignID      string        `json:"campaignId" minLength:"1" maxLength:"64"`
	RunID           string        `json:"runId" minLength:"1" maxLength:"64"`
	Phase           string        `json:"phase" minLength:"1" maxLength:"16"`
	OccurredAt      time.Time     `json:"occurredAt" doc:"From the year 2000 to a day ahead."`
	AgentID         string        `json:"agentId" required:"false" minLength:"1" maxLength:"128" doc:"Required of agent events."`
	Attempt         *int64        `json:"attempt" required:"false" default:"1" minimum:"1" maximum:"1000000"`
	Status          string        `json:"status" required:"false" enum:"succeeded,failed,cancelled" doc:"Required of agent.finished."`
	LatencyMs       *numberSchema `json:"latencyMs" required:"false"`
	TokensIn        *int64        `json:"tokensIn" required:"false" default:"0" minimum:"0" maximum:"1000000000"`
	TokensOut       *int64        `json:"tokensOut" required:"false" default:"0" minimum:"0" maximum:"1000000000"`
	AssetsGenerated *int64        `json:"assetsGenerated" required:"false" default:"0" minimum:"0" maximum:"1000000000"`
	CostUSD         *costSchema   `json:"costUSD" required:"false"`
	AgentName       *string       `json:"agentName" required:"false" maxLength:"256"`
	Model           *string       `json:"model" required:"false" maxLength:"256"`
	Error           *string       `json:"error" required:"false" maxLength:"2048"`
	AgentsExpected  *int64        `json:"agentsExpected" required:"false" minimum:"1" maximum:"1000000" doc:"Of run.started."`
	Outcome         string        `json:"outcome" required:"false" default:"completed" enum:"completed,failed,cancelled" doc:"Of run.finished."`
	Metrics         *reportBody   `json:"metrics" required:"false" doc:"Of run.reported, required there."`
	Voids           []string      `json:"voids" required:"false" nullable:"false" minItems:"1" maxItems:"1000" doc:"Ids of the events that count nowhere. Of executions.voided, required there."`
	Reason          *string       `json:"reason" required:"false" maxLength:"256" doc:"Of executions.voided."`
}

// exampleEvent is the body that the documentation shows.
const exampleEvent = `{"id":"0191-1","campaignId":"api-test-001","runId":"api-run-001","phase":"2-3",` +
	`"occurredAt":"2026-02-14T14:47:08Z","agentId":"writer","status":"succeeded","latencyMs":38000,"tokensIn":1000,` +
	`"tokensOut":2000,"costUSD":0.002,"assetsGenerated":8}`
