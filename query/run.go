package query

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/apexsalesai/runmetrics/aggregate"
)

type runInput struct {
	CampaignID string `path:"campaignId" minLength:"1" maxLength:"64"`
	RunID      string `path:"runId" minLength:"1" maxLength:"64"`
}

type runOutput struct {
	Body runDetail
}

// runDetail is a run with everything that is known of it.
type runDetail struct {
	Metrics     []aggregate.Metrics `json:"metrics" nullable:"false" doc:"One record for each phase, sorted by phase."`
	Total       *total              `json:"total"`
	Agents      []agent             `json:"agents" nullable:"false" doc:"Sorted by phase and agent id."`
	DeadLetters int64               `json:"deadLetters" doc:"How many messages that name the run could not be applied."`
}

// TransformSchema says that total may be null, which tags cannot say of an object.
func (runDetail) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	s.Properties["total"] = &huma.Schema{
		Description: "The run over all its phases; null where only dead letters name it.",
		AnyOf:       []*huma.Schema{s.Properties["total"], {Type: "null"}},
	}
	return s
}

func (s *server) routeRun(api huma.API) {
	huma.Register(api, s.guard(huma.Operation{
		OperationID: "get-run", Method: http.MethodGet, Path: campaignPath + "/{campaignId}/runs/{runId}",
		Tags: []string{"metrics"}, Summary: "One run: its phases, their total, its agents", SkipValidateParams: true,
		Responses: responses(api, http.StatusOK, schemaOf[runDetail](api), http.StatusBadRequest, http.StatusUnauthorized,
			http.StatusForbidden, http.StatusNotFound, http.StatusServiceUnavailable),
	}, ScopeRead), s.run)
}

func (s *server) run(ctx context.Context, in *runInput) (*runOutput, error) {
	var fields []*huma.ErrorDetail
	if message := nameProblem(in.CampaignID, maxID); message != "" {
		fields = append(fields, bad("path.campaignId", message))
	}
	if message := nameProblem(in.RunID, maxID); message != "" {
		fields = append(fields, bad("path.runId", message))
	}
	if len(fields) > 0 {
		return nil, invalid(fields)
	}
	deadline, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	detail, err := s.readRun(deadline, in.CampaignID, in.RunID)
	switch {
	case err != nil:
		return nil, s.storeFailed(ctx, "get-run", err)
	case len(detail.Metrics) == 0 && detail.DeadLetters == 0:
		return nil, problem(http.StatusNotFound, "nothing is known of this run")
	}
	return &runOutput{Body: detail}, nil
}

// readRun asks the store in several statements. A commit between them can make the agents a little newer than the
// records.
func (s *server) readRun(ctx context.Context, campaignID, runID string) (runDetail, error) {
	detail := runDetail{Metrics: []aggregate.Metrics{}, Agents: []agent{}}
	phases, err := s.Reader.Phases(ctx, campaignID, runID)
	if err != nil {
		return detail, err
	}
	detail.Metrics = append(detail.Metrics, phases...)
	for i := range phases {
		applied, err := s.Reader.Events(ctx, phases[i].RunKey)
		if err != nil {
			return detail, err
		}
		detail.Agents = append(detail.Agents, agentsOf(phases[i].Phase, applied)...)
	}
	if detail.DeadLetters, err = s.Reader.CountDeadLetters(ctx, campaignID, runID); err != nil {
		return detail, err
	}
	if len(phases) > 0 {
		detail.Total = totalOf(phases, detail.Agents)
	}
	showStalled(detail.Metrics, s.idleSince())
	return detail, nil
}
