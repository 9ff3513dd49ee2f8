package schema_test

import (
	"strings"
	"time"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/events/schema"
)

const aboutStream = "Agent runtimes publish what happens in their runs to NATS JetStream; runmetrics folds it into " +
	"one record of " +
	"metrics per run. This document is written from the point of view of an agent runtime: it sends.\n\n" +
	"Publish each event as one message to `runs.<campaign>.<run>` through JetStream, with a `Nats-Msg-Id`, and wait " +
	"for the " +
	"acknowledgement. What is not acknowledged is sent again: the same bytes with the same `Nats-Msg-Id`. Within two " +
	"minutes " +
	"JetStream drops the repeat; later the id in the payload makes sure that it is counted once.\n\n" +
	"A message that breaks the contract is stored all the same and becomes a dead letter with a reason; " +
	"`runmetrics publish --check FILE` tells before. Runtimes that cannot hold a connection send the same events to " +
	"`POST /api/events` of the HTTP API (`/openapi.json`).\n\n" +
	"What JSON Schema cannot say is named in `$comment`s, as \"Beyond JSON Schema\"; the rules are explained at " +
	"events/schema."

func asyncAPI() object {
	return object{
		{"asyncapi", "3.0.0"},
		{"id", "urn:com:apexsalesai:runmetrics:events"},
		{"info", object{
			{"title", "runmetrics: events of agent runs"},
			{"version", "1.0.0"},
			describe(aboutStream),
			{"contact", object{{"name", "runmetrics"}, {"url", "https://github.com/apexsalesai/runmetrics"}}},
			{"tags", list{object{{"name", "events"}, describe("What agent runtimes publish.")}}},
			{"externalDocs", object{{"url", "https://github.com/apexsalesai/runmetrics"}}},
		}},
		{"defaultContentType", "application/json"},
		{"servers", servers()},
		{"channels", object{{"runs", runsChannel()}, {"acknowledgement", acknowledgements()}}},
		{"operations", object{{"publishEvent", object{
			{"action", "send"},
			{"channel", reference("#/channels/runs")},
			{"title", "Publish an event"},
			{"summary", "One message for each event, sent again until JetStream has acknowledged it."},
			{"messages", inChannel()},
			{"reply", object{{"channel", reference("#/channels/acknowledgement")},
				{"messages", list{reference("#/channels/acknowledgement/messages/publishAck")}}}},
		}}}},
		{"components", object{
			{"messages", messages()},
			{"schemas", componentSchemas()},
			{"securitySchemes", securitySchemes()},
		}},
	}
}

func reference(to string) object { return object{{"$ref", to}} }

func servers() object {
	var security list
	for _, scheme := range securitySchemes() {
		security = append(security, reference("#/components/securitySchemes/"+scheme.name))
	}
	return object{
		{"production", object{
			{"host", "nats.example.com:4222"}, {"protocol", "nats"},
			describe("NATS with JetStream, server 2.14 or later, with TLS. What a publisher needs: to publish to " +
				"runs.*.* and to subscribe to its inbox, _INBOX_publish.> with the users file that comes with " +
				"runmetrics."),
			{"security", security},
		}},
		{"local", object{
			{"host", "127.0.0.1:4222"}, {"protocol", "nats"},
			describe("The server that `runmetrics dev` and `runmetrics run` have in them: on this machine only, no " +
				"user."),
		}},
	}
}

func securitySchemes() object {
	return object{
		{"userPassword", object{{"type", "userPassword"}, describe("User and password, such as in " +
			"nats://user:password@host:4222.")}},
		{"credentials", object{{"type", "asymmetricEncryption"}, describe("A credentials file: the user's JWT and " +
			"the seed that signs the server's challenge.")}},
		{"nkey", object{{"type", "asymmetricEncryption"}, describe("An NKey: the seed signs the server's challenge.")}},
		{"certificate", object{{"type", "X509"}, describe("A client certificate, where the server asks for one.")}},
	}
}

const encoding = " Every byte of its UTF-8 outside A-Z, a-z, 0-9, _ and - is written %XX with capital hexadecimal " +
	"digits; so a dot is %2E, a space %20. It must be the payload's, or the message becomes a dead letter."

func runsChannel() object {
	var all object
	for _, m := range messages() {
		if m.name != "publishAck" {
			all = append(all, member{m.name, reference("#/components/messages/" + m.name)})
		}
	}
	return object{
		{"address", events.SubjectPrefix + ".{campaign}.{run}"},
		{"title", "Events of a run"},
		describe("One subject for each run. JetStream keeps what is published there in the stream RUN_EVENTS."),
		{"parameters", object{
			{"campaign", object{describe("campaignId of the payload, percent-encoded." + encoding),
				{"examples", list{"spring-launch", events.EncodeToken("a.b/🚀")}}}},
			{"run", object{describe("runId of the payload, percent-encoded." + encoding),
				{"examples", list{"run-7", events.EncodeToken("run 7/🚀")}}}},
		}},
		{"messages", all},
		{"x-jetstream", jetStream()},
	}
}

// jetStream is the stream as `runmetrics setup` makes it, in the words of NATS's own configuration.
func jetStream() object {
	return object{
		describe("The stream as `runmetrics setup` makes it, as in `nats stream info --json`; times are in " +
			"nanoseconds. Its size on disk, max_bytes, is asked for there. A full stream refuses new messages. " +
			"Where runs are spread over partitions, streams are called RUN_EVENTS_0, RUN_EVENTS_1 and so on, and " +
			"the server maps subjects to them; publishers do not notice."),
		{"stream", object{
			{"name", "RUN_EVENTS"},
			{"subjects", list{events.SubjectPrefix + ".>"}},
			{"retention", "limits"},
			{"discard", "new"},
			{"storage", "file"},
			{"max_age", 30 * 24 * time.Hour},
			{"max_msgs", -1},
			{"max_msg_size", 1 << 20},
			{"duplicate_window", 2 * time.Minute},
			{"deny_delete", true},
			{"allow_direct", true},
		}},
	}
}

func inChannel() list {
	var all list
	for _, m := range messages() {
		if m.name != "publishAck" {
			all = append(all, reference("#/channels/runs/messages/"+m.name))
		}
	}
	return all
}

func acknowledgements() object {
	return object{
		{"address", nil},
		{"title", "Acknowledgements"},
		describe("The publisher's inbox: the reply subject of the message. Clients of JetStream do this by " +
			"themselves."),
		{"messages", object{{"publishAck", reference("#/components/messages/publishAck")}}},
	}
}

// messageNames are the names of messages in code: agent.finished is agentFinished.
func messageName(t events.Type) string {
	first, second, _ := strings.Cut(string(t), ".")
	return first + strings.ToUpper(second[:1]) + second[1:]
}

func messages() object {
	var all object
	for _, t := range schema.Types {
		var examples list
		for _, payload := range examplesOf(t) {
			examples = append(examples, object{{"name", messageName(t)}, {"headers", exampleHeaders(payload.(object))}, {"payload", payload}})
		}
		all = append(all, member{messageName(t), object{
			{"name", string(t)}, {"title", string(t)}, {"summary", about[t]}, {"contentType", "application/json"},
			{"headers", reference("#/components/schemas/headers")},
			{"payload", reference("#/components/schemas/" + string(t))},
			{"examples", examples},
		}})
	}
	structured := member{"Content-Type", "application/cloudevents+json"}
	binary := []member{{"Content-Type", "application/json"}, {"ce-specversion", "1.0"}, {"ce-id", "writer-3/1"},
		{"ce-source", "/runtimes/berlin"}, {"ce-type", "com.example.agent.finished"}, {"ce-time", "2026-02-14T14:48:00Z"}}
	return all.with(
		member{"cloudEvent", object{
			{"name", "CloudEvent, structured"}, {"title", "CloudEvent, structured"},
			{"summary", "An event as the data of a CloudEvent 1.0 in its JSON format. A batch cannot be one message."},
			{"contentType", "application/cloudevents+json"},
			{"headers", reference("#/components/schemas/headers")},
			{"payload", reference("#/components/schemas/cloudEvent")},
			{"examples", list{object{{"name", "cloudEvent"}, {"headers", exampleHeaders(exampleCloudEvent(), structured)},
				{"payload", exampleCloudEvent()}}}},
		}},
		member{"cloudEventBinary", object{
			{"name", "CloudEvent, binary"}, {"title", "CloudEvent, binary"},
			{"summary", "An event with the attributes of a CloudEvent 1.0 in ce-* headers. ce-id and ce-time are " +
				"its id and occurredAt where it lacks them."},
			{"contentType", "application/json"},
			{"headers", reference("#/components/schemas/cloudEventHeaders")},
			{"payload", reference("#/components/schemas/eventInCloudEvent")},
			{"examples", list{object{{"name", "cloudEventBinary"}, {"headers", exampleHeaders(exampleInside(), binary...)},
				{"payload", exampleInside()}}}},
		}},
		member{"publishAck", object{
			{"name", "publishAck"}, {"title", "Acknowledgement"},
			{"summary", "JetStream's answer. With stream and seq the message is stored; with duplicate it had been " +
				"before. With error it is not stored."},
			{"contentType", "application/json"},
			{"payload", reference("#/components/schemas/publishAck")},
			{"examples", list{object{{"name", "stored"}, {"payload", object{{"stream", "RUN_EVENTS"}, {"seq", 1042}}}},
				object{{"name", "duplicate"}, {"payload", object{{"stream", "RUN_EVENTS"}, {"seq", 1042}, {"duplicate", true}}}}}},
		}},
	)
}

func componentSchemas() object {
	inComponents := func(t events.Type) object { return reference("#/components/schemas/" + string(t) + ".inCloudEvent") }
	var all object
	for _, t := range schema.Types {
		all = append(all, member{string(t), bodyOf(t, false)}, member{string(t) + ".inCloudEvent", bodyOf(t, true)})
	}
	return all.with(
		member{"eventInCloudEvent", choosing(inComponents)},
		member{"cloudEvent", cloudEvent(inComponents)},
		member{"headers", object{{"type", "object"}, {"properties", headerFields()}}},
		member{"cloudEventHeaders", object{{"type", "object"}, {"required", list{"ce-specversion"}},
			{"properties", headerFields().with(cloudEventHeaders()...)}}},
		member{"publishAck", object{{"type", "object"}, {"properties", object{
			{"stream", object{describe("The stream that has it."), {"type", "string"}}},
			{"seq", object{describe("Its place there."), {"type", "integer"}, {"minimum", 0}}},
			{"duplicate", object{describe("The stream had a message with this Nats-Msg-Id within its duplicate " +
				"window."), {"type", "boolean"}}},
			{"error", object{describe("Why it is not stored, such as 10077 in err_code for a full " +
				"stream."), {"type", "object"}, {"properties", object{
				{"code", object{{"type", "integer"}}}, {"err_code", object{{"type", "integer"}}}, {"description", object{{"type", "string"}}},
			}}}},
		}}}},
	)
}

func headerFields() object {
	return object{
		{"Nats-Msg-Id", object{describe("By this JetStream drops repeats within its duplicate window, over the " +
			"whole stream. So it carries the run: <campaign>/<run>/<phase>/<id>, each part percent-encoded as in " +
			"the subject; or the event's id alone where that is a UUID."),
			{"type", "string"}, {"minLength", 1}}},
		{"traceparent", object{describe("W3C trace context of what is published: the commit " +
			"shows up in that trace."), {"type", "string"},
			{"pattern", "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"}}},
		{"Content-Type", object{describe("application/cloudevents+json makes the payload a CloudEvent; anything " +
			"else is not looked at."), {"type", "string"}}},
	}
}

func cloudEventHeaders() object {
	attribute := func(words string) object {
		return object{describe(words + " Space, \", % and what is not printable ASCII is " +
			"percent-encoded."), {"type", "string"}, {"minLength", 1}}
	}
	return object{
		{"ce-specversion", attribute("1.0.")},
		{"ce-id", attribute("The event's id, where the payload has none.")},
		{"ce-time", attribute("The event's occurredAt, where the payload has none.")},
		{"ce-type", attribute("Not looked at: the event's own type counts.")},
		{"ce-source", attribute("Not looked at.")},
	}
}
