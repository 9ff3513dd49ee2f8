package query

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// routeMetrics shows what the process measures to those who may see reasons on /readyz.
func (s *server) routeMetrics(api huma.API) {
	if s.Metrics == nil {
		return
	}
	described := responses(api, http.StatusOK, nil, http.StatusUnauthorized, http.StatusForbidden)
	described["200"] = response(http.StatusOK, "text/plain", &huma.Schema{Type: huma.TypeString})
	huma.Register(api, s.guard(huma.Operation{
		OperationID: "process-metrics", Method: http.MethodGet, Path: "/metrics", Tags: []string{"process"},
		Summary:     "Metrics of the process, in Prometheus text format",
		Description: "Sends nothing to the database. Where keys are in use, a key with scope read is needed.",
		Responses:   described,
	}, ScopeRead), func(context.Context, *struct{}) (*huma.StreamResponse, error) {
		return &huma.StreamResponse{Body: func(ctx huma.Context) {
			r, w := humago.Unwrap(ctx)
			s.Metrics.ServeHTTP(w, r)
		}}, nil
	})
}
