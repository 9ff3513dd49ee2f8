package query

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/sinks"
)

// summariesAtOnce bounds the memory of summaries, which is four bytes for each agent of all their runs.
const summariesAtOnce = 2

// summary is what many runs add up to. Numbers that a reported run does not know are summed over the others.
type summary struct {
	CampaignID *string `json:"campaignId" doc:"Null where the runs are of any campaign."`

	Runs          int64 `json:"runs" doc:"Records, one for each phase of a run."`
	RunsRunning   int64 `json:"runsRunning"`
	RunsStalled   int64 `json:"runsStalled"`
	RunsCompleted int64 `json:"runsCompleted"`
	RunsFailed    int64 `json:"runsFailed"`
	RunsCancelled int64 `json:"runsCancelled"`
	RunsReported  int64 `json:"runsReported" doc:"Of these runs only a report is known, no executions."`

	AgentsTotal      int64 `json:"agentsTotal"`
	AgentsSuccessful int64 `json:"agentsSuccessful"`
	AgentsFailed     int64 `json:"agentsFailed"`
	AgentsCancelled  int64 `json:"agentsCancelled"`
	AgentsRunning    int64 `json:"agentsRunning" doc:"In runs that show running."`
	AgentsMissing    int64 `json:"agentsMissing"`
	Executions       int64 `json:"executions"`

	AssetsGenerated int64           `json:"assetsGenerated"`
	TokensIn        int64           `json:"tokensIn"`
	TokensOut       int64           `json:"tokensOut"`
	CostUSD         aggregate.Money `json:"costUSD"`
	CostComplete    bool            `json:"costComplete"`

	LatencyAvgMs       *int64 `json:"latencyAvgMs" doc:"Latencies are exact, over the final executions of all runs that were not cancelled; null without any."`
	LatencyP50Ms       *int64 `json:"latencyP50Ms"`
	LatencyP95Ms       *int64 `json:"latencyP95Ms"`
	LatencyP99Ms       *int64 `json:"latencyP99Ms"`
	LatencyMaxMs       *int64 `json:"latencyMaxMs"`
	LatencyAgents      int64  `json:"latencyAgents" doc:"How many agents the latencies are over."`
	LatencyUnknownRuns int64  `json:"latencyUnknownRuns" doc:"Runs whose executions are not known: reported ones, and some whose executions were pruned."`

	SuccessRate *aggregate.Percent `json:"successRate" doc:"Of all agents, by the divisor that the status of each run asks for."`

	CreatedAt *time.Time `json:"createdAt" doc:"Of the earliest run, null without runs."`
	UpdatedAt *time.Time `json:"updatedAt" doc:"Of the run that was committed last, null without runs."`
}

type summaryInput struct{ listInput }

type campaignSummaryInput struct {
	listInput
	CampaignID string `path:"campaignId" minLength:"1" maxLength:"64"`
}

type summaryOutput struct {
	Body summary
}

func (s *server) routeSummary(api huma.API) {
	operation := func(id, path, what string, parameters []*huma.Param, problems ...int) huma.Operation {
		return s.guard(huma.Operation{
			OperationID: id, Method: http.MethodGet, Path: path, Tags: []string{"metrics"}, Summary: what,
			SkipValidateParams: true, Parameters: parameters,
			Responses: responses(api, http.StatusOK, schemaOf[summary](api), append(problems, http.StatusBadRequest,
				http.StatusUnauthorized, http.StatusForbidden, http.StatusServiceUnavailable)...),
		}, ScopeRead)
	}
	huma.Register(api, operation("summarize-metrics", campaignPath+"/summary", "All runs that match, added up", filterParameters()),
		func(ctx context.Context, in *summaryInput) (*summaryOutput, error) {
			return s.summarize(ctx, in.rawQuery, "")
		})
	huma.Register(api, operation("summarize-campaign", campaignPath+"/{campaignId}/summary", "A campaign over all its runs",
		filterParameters()[1:], http.StatusNotFound),
		func(ctx context.Context, in *campaignSummaryInput) (*summaryOutput, error) {
			if message := nameProblem(in.CampaignID, maxID); message != "" {
				return nil, invalid([]*huma.ErrorDetail{bad("path.campaignId", message)})
			}
			return s.summarize(ctx, in.rawQuery, in.CampaignID)
		})
}

// summarize answers for the records that the query selects, of the campaign where one is named by the path.
func (s *server) summarize(request context.Context, rawQuery, campaign string) (*summaryOutput, error) {
	p, err := parseParameters(rawQuery)
	if err != nil {
		return nil, err
	}
	f := p.filter(s.idleSince())
	if campaign != "" {
		f.CampaignID = campaign
	}
	if len(p.bad) > 0 {
		return nil, invalid(p.bad)
	}
	select {
	case s.summaries <- struct{}{}:
		defer func() { <-s.summaries }()
	case <-time.After(storeTimeout):
		return nil, unavailable("too many summaries are being worked out")
	case <-request.Done():
		return nil, unavailable("the request was cancelled")
	}
	ctx, progress, cancel := patient(request)
	defer cancel()
	sum, err := s.readSummary(ctx, f, progress)
	switch {
	case err != nil:
		return nil, s.storeFailed(request, "summarize-metrics", err)
	case campaign != "" && sum.Runs == 0 && f == (sinks.Filter{CampaignID: campaign, IdleSince: f.IdleSince}):
		return nil, problem(http.StatusNotFound, "nothing is known of this campaign")
	}
	return &summaryOutput{Body: sum}, nil
}

func (s *server) readSummary(ctx context.Context, f sinks.Filter, progress func()) (summary, error) {
	sum := summary{CostComplete: true}
	if f.CampaignID != "" {
		sum.CampaignID = &f.CampaignID
	}
	var seen latencies
	divisor := int64(0)
	clock := clockOf(ctx)
	err := s.Reader.Survey(ctx, f, func(r *sinks.Surveyed) error {
		progress()
		divisor += r.Divisor()
		if r.Status == aggregate.Running && r.UpdatedAt.Before(f.IdleSince) {
			r.Status = aggregate.Stalled
		}
		clock.see(r.Metrics)
		sum.add(&r.Metrics)
		return seen.add(r)
	})
	if err != nil {
		return sum, err
	}
	if f.Status != aggregate.Stalled { // runs that turn stalled are not among these
		clock.seenAll()
	}
	sum.SuccessRate = aggregate.PercentOf(sum.AgentsSuccessful, divisor)
	if err := s.foldBlind(ctx, &seen, progress); err != nil {
		return sum, err
	}
	stats, err := seen.stats()
	sum.LatencyAvgMs, sum.LatencyP50Ms, sum.LatencyP95Ms = stats.AvgMs, stats.P50Ms, stats.P95Ms
	sum.LatencyP99Ms, sum.LatencyMaxMs, sum.LatencyAgents = stats.P99Ms, stats.MaxMs, stats.Count
	sum.LatencyUnknownRuns = seen.unknown
	return sum, err
}

// add adds a record whose status is as it is shown.
func (s *summary) add(m *aggregate.Metrics) {
	s.Runs++
	*s.runsOf(m.Status)++
	if m.Source == aggregate.FromReport {
		s.RunsReported++
	}
	s.AgentsTotal += m.AgentsTotal
	s.AgentsSuccessful += m.AgentsSuccessful
	s.AgentsFailed += m.AgentsFailed
	s.AgentsCancelled += or0(m.AgentsCancelled)
	if m.Status == aggregate.Running {
		s.AgentsRunning += or0(m.AgentsRunning)
	}
	s.AgentsMissing += or0(m.AgentsMissing)
	s.Executions += or0(m.Executions)
	s.AssetsGenerated += m.AssetsGenerated
	s.TokensIn += m.TokensIn
	s.TokensOut += m.TokensOut
	s.CostUSD = s.CostUSD.Plus(m.CostUSD)
	s.CostComplete = s.CostComplete && m.CostComplete
	if created := m.CreatedAt; s.CreatedAt == nil || created.Before(*s.CreatedAt) {
		s.CreatedAt = &created
	}
	if updated := m.UpdatedAt; s.UpdatedAt == nil || updated.After(*s.UpdatedAt) {
		s.UpdatedAt = &updated
	}
}

func (s *summary) runsOf(status aggregate.Status) *int64 {
	switch status {
	case aggregate.Running:
		return &s.RunsRunning
	case aggregate.Stalled:
		return &s.RunsStalled
	case aggregate.Failed:
		return &s.RunsFailed
	case aggregate.Cancelled:
		return &s.RunsCancelled
	}
	return &s.RunsCompleted
}

func or0(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}
