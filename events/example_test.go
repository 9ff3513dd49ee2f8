package events_test

import (
	"fmt"
	"time"

	"github.com/apexsalesai/runmetrics/events"
)

func ExampleDecode() {
	e, rejected := events.Decode(events.Message{
		Subject: "runs.spring-launch.run-7",
		Data: []byte(`{"id":"writer-1/1","campaignId":"spring-launch","runId":"run-7","phase":"2-3",
			"occurredAt":"2026-02-14T14:47:08.035Z","agentId":"writer-1","status":"succeeded",
			"latencyMs":12.5,"tokensIn":5231,"costUSD":0.059133500000000006}`),
		Time: time.Date(2026, 2, 14, 14, 47, 9, 0, time.UTC),
	})
	if rejected != nil {
		fmt.Println(rejected)
		return
	}
	fmt.Println(e.Type, e.Status, e.Attempt, e.LatencyMs, e.Cost.Nanos)
	// Output: agent.finished succeeded 1 13 0.0591335
}

func ExampleDecode_rejected() {
	_, rejected := events.Decode(events.Message{
		Data: []byte(`{"id":"writer-1/1","campaignId":"spring-launch","runId":"run-7","phase":"2-3",
			"occurredAt":"2026-02-14T14:47:08.035Z","agentId":"writer-1","status":"done","tokensIn":-1}`),
	})
	for _, f := range rejected.Fields {
		fmt.Println(rejected.Reason, f.Field, f.Problem)
	}
	// Output:
	// invalid status must be succeeded, failed, cancelled
	// invalid latencyMs is required
	// invalid tokensIn must be an integer from 0 to 1000000000
}

func ExampleSubject() {
	e := events.Event{
		Key: events.Key{CampaignID: "spring launch", RunID: "run.7", Phase: "2-3"},
		ID:  "writer-1/1",
	}
	fmt.Println(events.Subject(e.CampaignID, e.RunID))
	fmt.Println(events.MessageID(&e))
	// Output:
	// runs.spring%20launch.run%2E7
	// spring%20launch/run%2E7/2-3/writer-1%2F1
}

func ExampleMessageID() {
	e := events.Event{
		Key: events.Key{CampaignID: "spring launch", RunID: "run.7", Phase: "2-3"},
		ID:  "0192f3a4-7c1e-7b52-9d3a-5f6e7a8b9c0d",
	}
	fmt.Println(events.MessageID(&e))
	// Output: 0192f3a4-7c1e-7b52-9d3a-5f6e7a8b9c0d
}
