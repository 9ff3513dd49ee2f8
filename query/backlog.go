package query

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// backlogTime is for how long everybody is shown the same count: to count reads all that waits.
const backlogTime = 5 * time.Second

// Backlog is what the copy in Dataverse still has to get.
type Backlog struct {
	Waiting      int64      `json:"waiting" doc:"Runs whose newest version is due, now or later, or on its way."`
	WaitingSince *time.Time `json:"waitingSince" doc:"Since when the one that waits longest is due, null where nothing waits."`
	Parked       int64      `json:"parked" doc:"Runs whose row Dataverse refuses."`
}

type backlogOutput struct {
	Body struct {
		Dataverse *Backlog `json:"dataverse"`
	}
}

// sharedBacklog is what was last counted.
type sharedBacklog struct {
	mu      sync.Mutex // held while the store counts: nobody else need ask
	counted time.Time
	last    *Backlog
}

// unknowable marks an operation whose answer changes without an announcement.
const unknowable = "unknowable"

func (s *server) routeBacklog(api huma.API) {
	described := responses(api, http.StatusOK, nil, http.StatusUnauthorized, http.StatusForbidden, http.StatusServiceUnavailable)
	backlog := &huma.Schema{Type: huma.TypeObject, Required: []string{"dataverse"}, Properties: map[string]*huma.Schema{"dataverse": {
		Description: "Null where no copy is kept.", AnyOf: []*huma.Schema{schemaOf[Backlog](api), {Type: "null"}}}}}
	described["200"] = response(http.StatusOK, "application/json", backlog)
	huma.Register(api, s.guard(huma.Operation{
		OperationID: "get-backlog", Method: http.MethodGet, Path: "/api/backlog", Tags: []string{"process"},
		Summary:     "What waits to be copied to Microsoft Dataverse",
		Description: "Counted by the store, at most every five seconds. What waits to be committed stands on /readyz.",
		Responses:   described, Metadata: map[string]any{unknowable: true},
	}, ScopeRead), s.backlog)
}

func (s *server) backlog(ctx context.Context, _ *struct{}) (*backlogOutput, error) {
	var out backlogOutput
	if s.Backlog == nil {
		return &out, nil
	}
	s.counted.mu.Lock()
	defer s.counted.mu.Unlock()
	if now := s.Now(); s.counted.last == nil || now.Sub(s.counted.counted) >= backlogTime {
		deadline, cancel := context.WithTimeout(ctx, storeTimeout)
		defer cancel()
		found, err := s.Config.Backlog(deadline)
		if err != nil {
			return nil, s.storeFailed(ctx, "get-backlog", err)
		}
		s.counted.last, s.counted.counted = &found, now
	}
	out.Body.Dataverse = s.counted.last
	return &out, nil
}
