package query

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/apexsalesai/runmetrics/events/schema"
)

const asyncAPIPath = "/asyncapi.json"

// routeAsyncAPI serves the description of the stream beside that of the HTTP API: both say how to give events to runmetrics.
func (s *server) routeAsyncAPI(api huma.API) {
	document := specOutput{ContentType: "application/json", Body: schema.AsyncAPI()}
	huma.Register(api, huma.Operation{
		OperationID: "asyncapi", Method: http.MethodGet, Path: asyncAPIPath, Tags: []string{"process"},
		Summary: "How to publish events to NATS, as an AsyncAPI 3.0 document",
		Description: "The subject and headers of a message, a JSON Schema with examples for each event, and the settings of the stream. " +
			"Open to everyone, as this document is.",
		Responses: responses(api, http.StatusOK, &huma.Schema{Type: huma.TypeObject}),
	}, func(context.Context, *struct{}) (*specOutput, error) { return &document, nil })
}
