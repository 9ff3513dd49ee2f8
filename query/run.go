package query

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/sinks"
)

// Bounds of a page of agents.
const (
	defaultAgents = 1000
	maxAgents     = 10_000
)

type runInput struct {
	CampaignID string `path:"campaignId" minLength:"1" maxLength:"64"`
	RunID      string `path:"runId" minLength:"1" maxLength:"64"`
	rawQuery   string
}

// Resolve takes the query as it came, as listInput does.
func (in *runInput) Resolve(ctx huma.Context) []error {
	u := ctx.URL()
	in.rawQuery = u.RawQuery
	return nil
}

type runOutput struct {
	Body runDetail
}

// runDetail is a run with everything that is known of it.
type runDetail struct {
	Metrics     []aggregate.Metrics `json:"metrics" nullable:"false" doc:"One record for each phase, sorted by phase."`
	Total       *total              `json:"total"`
	Agents      []agent             `json:"agents" nullable:"false" doc:"Sorted by phase and agent id."`
	NextCursor  *string             `json:"nextCursor" doc:"Place of the next page of agents, null behind the last."`
	AgentsKnown bool                `json:"agentsKnown" doc:"False where agents of a phase are not known: its executions were pruned, or it was only reported."`
	SealedAt    *time.Time          `json:"sealedAt" doc:"When executions of the run were last pruned, null where none were."`
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
		Description: "Agents come in pages. The whole run is read for each of them, which takes about two seconds for a million agents.",
		Parameters:  pageParameters("agents", defaultAgents, maxAgents),
		Responses: responses(api, http.StatusOK, schemaOf[runDetail](api), http.StatusBadRequest, http.StatusUnauthorized,
			http.StatusForbidden, http.StatusNotFound, http.StatusServiceUnavailable),
	}, ScopeRead), s.run)
}

// wantedRun is what a GET of a run asks for.
type wantedRun struct {
	campaignID, runID string
	after             agentPlace // agents behind it
	limit             int
}

func (in *runInput) parse() (wantedRun, error) {
	p, err := parseParameters(in.rawQuery)
	if err != nil {
		return wantedRun{}, err
	}
	w := wantedRun{campaignID: in.CampaignID, runID: in.RunID, limit: p.limit(defaultAgents, maxAgents)}
	for _, name := range []struct{ field, value string }{{"campaignId", in.CampaignID}, {"runId", in.RunID}} {
		if message := nameProblem(name.value, maxID); message != "" {
			p.bad = append(p.bad, bad("path."+name.field, message))
		}
	}
	if cursor := p.one("cursor"); cursor != "" && len(p.bad) == 0 {
		if w.after, err = decodeAgentCursor(cursor, in.CampaignID, in.RunID); err != nil {
			p.refuse("cursor", err.Error())
		}
	}
	if len(p.bad) > 0 {
		return wantedRun{}, invalid(p.bad)
	}
	return w, nil
}

func (s *server) run(ctx context.Context, in *runInput) (*runOutput, error) {
	wanted, err := in.parse()
	if err != nil {
		return nil, err
	}
	reading, progress, cancel := patient(ctx)
	defer cancel()
	detail, err := s.readRun(reading, &wanted, progress)
	switch {
	case err != nil:
		return nil, s.storeFailed(ctx, "get-run", err)
	case len(detail.Metrics) == 0 && detail.DeadLetters == 0:
		return nil, problem(http.StatusNotFound, "nothing is known of this run")
	}
	clock := clockOf(ctx)
	clock.see(detail.Metrics...)
	clock.seenAll()
	return &runOutput{Body: detail}, nil
}

// readRun asks the store in several statements. A commit between them can make the agents a little newer than the
// records.
func (s *server) readRun(ctx context.Context, w *wantedRun, progress func()) (runDetail, error) {
	detail := runDetail{Metrics: []aggregate.Metrics{}, Agents: []agent{}, AgentsKnown: true}
	var seen latencies
	err := s.Reader.Survey(ctx, sinks.Filter{CampaignID: w.campaignID, RunID: w.runID}, func(r *sinks.Surveyed) error {
		progress()
		detail.Metrics = append(detail.Metrics, r.Metrics)
		detail.AgentsKnown = detail.AgentsKnown && r.Sealed.IsZero() && r.Source == aggregate.FromEvents
		if !r.Sealed.IsZero() && (detail.SealedAt == nil || r.Sealed.After(*detail.SealedAt)) {
			sealed := r.Sealed
			detail.SealedAt = &sealed
		}
		return seen.add(r)
	})
	if err != nil {
		return detail, err
	}
	slices.SortFunc(detail.Metrics, func(a, b aggregate.Metrics) int { return cmp.Compare(a.Phase, b.Phase) })
	if err := s.foldBlind(ctx, &seen, progress); err != nil {
		return detail, err
	}
	if err := s.pageAgents(ctx, &detail, w, progress); err != nil {
		return detail, err
	}
	if detail.DeadLetters, err = s.Reader.CountDeadLetters(ctx, w.campaignID, w.runID); err != nil {
		return detail, err
	}
	if len(detail.Metrics) > 0 {
		if detail.Total, err = totalOf(detail.Metrics, &seen); err != nil {
			return detail, err
		}
	}
	showStalled(detail.Metrics, s.idleSince())
	return detail, nil
}

// pageAgents fills a page with the agents of one phase after the other.
func (s *server) pageAgents(ctx context.Context, detail *runDetail, w *wantedRun, progress func()) error {
	for i := range detail.Metrics {
		m := &detail.Metrics[i]
		if m.Phase < w.after.phase || len(detail.Agents) > w.limit {
			continue
		}
		above := ""
		if m.Phase == w.after.phase {
			above = w.after.agentID
		}
		// One agent more than asked for tells whether there is a next page.
		window := newAgentWindow(m.Phase, above, w.limit+1-len(detail.Agents))
		agents, err := s.readAgents(ctx, m.RunKey, window, progress)
		if err != nil {
			return err
		}
		detail.Agents = append(detail.Agents, agents...)
	}
	if len(detail.Agents) > w.limit {
		detail.Agents = detail.Agents[:w.limit]
		last := &detail.Agents[w.limit-1]
		next := encodeAgentCursor(agentPlace{last.Phase, last.AgentID}, w.campaignID, w.runID)
		detail.NextCursor = &next
	}
	return nil
}
