package schema_test

import "github.com/apexsalesai/runmetrics/events"

// exampleEvent is an example with the names that all have in common.
func exampleEvent(t events.Type, id, at string, more ...member) object {
	e := object{{"id", id}}
	if t != events.AgentFinished {
		e = e.with(member{"type", string(t)})
	}
	return e.with(member{"campaignId", "spring-launch"}, member{"runId", "run 7/🚀"}, member{"phase", "2-3"}, member{"occurredAt", at}).
		with(more...)
}

// examplesOf are good events of a type, the usual one first.
func examplesOf(t events.Type) list {
	switch t {
	case events.AgentFinished:
		return list{
			exampleEvent(t, "writer-1/1", "2026-02-14T14:47:08.035Z", member{"agentId", "writer-1"}, member{"attempt", 1},
				member{"status", "succeeded"}, member{"latencyMs", 38000.4}, member{"tokensIn", 1000}, member{"tokensOut", 2000},
				member{"assetsGenerated", 8}, member{"costUSD", "0.059133500"}, member{"agentName", "Writer"}, member{"model", "large-1"}),
			exampleEvent(t, "writer-2/1", "2026-02-14T14:47:09Z", member{"type", string(t)}, member{"agentId", "writer-2"},
				member{"status", "failed"}, member{"latencyMs", 120}, member{"error", "the model answered with 529"}),
		}
	case events.AgentStarted:
		return list{exampleEvent(t, "4f1c1f0e-7d52-4f4e-9b0b-0b8f2c1c5a10", "2026-02-14T14:46:30Z", member{"agentId", "writer-1"},
			member{"attempt", 1}, member{"agentName", "Writer"})}
	case events.RunStarted:
		return list{exampleEvent(t, "0c1f6a3e-8a34-4b55-8df0-5b0b5b6f2a77", "2026-02-14T14:46:00Z", member{"agentsExpected", 24})}
	case events.RunFinished:
		return list{exampleEvent(t, "9a7d7c66-51a3-4d0e-9d7c-5d0a9a1e6f02", "2026-02-14T15:10:00Z", member{"outcome", "completed"})}
	case events.RunReported:
		return list{exampleEvent(t, "report-1", "2026-02-14T15:10:00Z", member{"metrics", object{{"agentsTotal", 24}, {"agentsSuccessful", 22},
			{"assetsGenerated", 176}, {"tokensIn", 24000}, {"tokensOut", 48000}, {"costUSD", 1.42}, {"latencyP95Ms", 61000},
			{"latencyAvgMs", 37250.5}}})}
	}
	return list{exampleEvent(t, "void-1", "2026-02-15T08:00:00Z", member{"voids", list{"writer-2/1"}}, member{"reason", "test run"})}
}

// exampleInside is an event that leaves its id and its time to a CloudEvents envelope.
func exampleInside() object {
	return object{{"campaignId", "spring-launch"}, {"runId", "run 7/🚀"}, {"phase", "2-3"}, {"agentId", "writer-3"},
		{"status", "succeeded"}, {"latencyMs", 41200}, {"costUSD", 0.0021}}
}

func exampleCloudEvent() object {
	return object{{"specversion", "1.0"}, {"id", "writer-3/1"}, {"source", "/runtimes/berlin"}, {"type", "com.example.agent.finished"},
		{"time", "2026-02-14T14:48:00Z"}, {"datacontenttype", "application/json"}, {"data", exampleInside()}}
}

// exampleHeaders are those of an example as it would be published.
func exampleHeaders(payload object, more ...member) object {
	text, err := marshal(payload)
	if err != nil {
		panic(err)
	}
	header := make(map[string][]string)
	for _, m := range more {
		header[m.name] = []string{m.value.(string)}
	}
	e, rejected := events.Decode(events.Message{Data: text, Header: header})
	if rejected != nil {
		panic(string(text) + ": " + rejected.Error())
	}
	return object{{"Nats-Msg-Id", events.MessageID(&e)}}.with(more...)
}
