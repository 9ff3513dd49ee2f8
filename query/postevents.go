package query

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

const eventsPath = "/api/events"

// maxEventRequests is how many requests with events are dealt with at a time: it bounds the memory that their bodies take.
const maxEventRequests = 16

// eventsInput is the request before anything of it is read.
type eventsInput struct {
	w http.ResponseWriter
	r *http.Request
}

// Resolve keeps the raw request: huma would parse the body, and turn its money into floats.
func (in *eventsInput) Resolve(ctx huma.Context) []error {
	in.r, in.w = humago.Unwrap(ctx)
	return nil
}

type eventsOutput struct {
	Body *eventVerdicts
}

func (s *server) routeEvents(api huma.API) {
	op := huma.Operation{
		OperationID: "post-events", Method: http.MethodPost, Path: eventsPath, Tags: []string{"events"},
		Summary: "Publish events, where the runtime has no NATS client",
		Description: fmt.Sprintf("One event, an array, or one a line; up to %d events and %d bytes. CloudEvents 1.0 may come in "+
			"binary or structured mode or as a batch; their id and time are the event's where it has none itself. "+
			"Each event has a verdict of its own. 202 once the stream has stored those that are not refused; "+
			"400 where all are refused; 503 where the stream did not confirm all, with what it did. Events carry their ids, so repeating a whole request is safe: each is counted once.",
			maxEvents, maxEventsBytes),
		DefaultStatus: http.StatusAccepted,
		Responses: responses(api, http.StatusAccepted, schemaOf[eventVerdicts](api), http.StatusBadRequest,
			http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge,
			http.StatusUnsupportedMediaType, http.StatusServiceUnavailable),
	}
	for _, status := range []int{http.StatusBadRequest, http.StatusServiceUnavailable} {
		op.Responses[fmt.Sprint(status)] = response(status, "application/problem+json", schemaOf[eventsProblem](api))
	}
	huma.Register(api, s.guard(op, ScopeWrite), s.postEvents)
	// Described after the fact: an operation that huma knows to have a body has it read by huma.
	event, envelope := schemaOf[eventBody](api), schemaOf[cloudEventBody](api)
	api.OpenAPI().Paths[eventsPath].Post.RequestBody = &huma.RequestBody{
		Required: true,
		Content: map[string]*huma.MediaType{
			typeJSON: {Example: json.RawMessage(exampleEvent),
				Schema: &huma.Schema{OneOf: []*huma.Schema{event, {Type: huma.TypeArray, Items: event}}}},
			typeEnvelope:  {Schema: envelope},
			typeEnvelopes: {Schema: &huma.Schema{Type: huma.TypeArray, Items: envelope}},
			typeLines:     {Schema: &huma.Schema{Type: huma.TypeString, Description: "One event a line."}},
		},
	}
}

// eventsWait is how long a request waits until the streams have stored its events. An embedded broker syncs each to the
// disk, which may be busy. It is less than shutdownTimeout: nobody's answer is cut off.
const eventsWait = 8 * time.Second

func (s *server) postEvents(ctx context.Context, in *eventsInput) (*eventsOutput, error) {
	wait, cancel := context.WithTimeout(ctx, commitWait)
	defer cancel()
	select {
	case s.eventRequests <- struct{}{}:
		defer func() { <-s.eventRequests }()
	case <-wait.Done():
		return nil, unavailable("too many requests with events are under way")
	}
	messages, refused := readEvents(in.w, in.r)
	if refused != nil {
		return nil, refused
	}
	verdicts, passed, indexes := judgeEvents(messages, s.Now())
	if len(passed) == 0 {
		return nil, &eventsProblem{*problem(http.StatusBadRequest, "every event is refused"), *verdicts}
	}
	stored, cancel := context.WithTimeout(ctx, eventsWait)
	defer cancel()
	err := verdicts.settle(indexes, s.Publish(stored, passed))
	if err == nil {
		return &eventsOutput{Body: verdicts}, nil
	}
	s.publishFailed(ctx, "post-events", err)
	return nil, retryLater(&eventsProblem{*problem(http.StatusServiceUnavailable,
		"the event stream did not confirm all events; send the request again"), *verdicts})
}
