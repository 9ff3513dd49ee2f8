package aggregate_test

import (
	"fmt"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
)

func ExampleRun() {
	r := aggregate.NewRun(events.Key{CampaignID: "spring-launch", RunID: "run-7", Phase: "2-3"})
	for _, line := range []string{
		`{"id":"writer-1/1","campaignId":"spring-launch","runId":"run-7","phase":"2-3","occurredAt":"2026-02-14T14:47:08Z",
		  "agentId":"writer-1","status":"failed","latencyMs":900,"costUSD":0.0125}`,
		`{"id":"writer-1/2","campaignId":"spring-launch","runId":"run-7","phase":"2-3","occurredAt":"2026-02-14T14:48:00Z",
		  "agentId":"writer-1","attempt":2,"status":"succeeded","latencyMs":850,"costUSD":0.0125}`,
	} {
		e, rejected := events.Decode(events.Message{Data: []byte(line)})
		if rejected != nil {
			fmt.Println(rejected)
			return
		}
		r.Apply(&e)
	}
	m := r.Metrics()
	fmt.Printf("%s: %d of %d succeeded (%s %%), %d ms, %s USD\n", m.Status, m.AgentsSuccessful, m.AgentsTotal, m.SuccessRate,
		*m.LatencyP95Ms, m.CostUSD)
	// Output: running: 1 of 1 succeeded (100 %), 850 ms, 0.025 USD
}
