package query

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
)

// What State.State and StreamState.State say.
const (
	StateStarting = "starting"
	StateActive   = "active"
	StateStandby  = "standby"  // another replica reads
	StateDegraded = "degraded" // something is away and is being retried
	StateBlocked  = "blocked"  // a person must act
	StateStopping = "stopping" // /readyz is 503 from here on
)

// State is how the process is, as /readyz shows it. All but State is shown only to those who may read.
type State struct {
	State   string        `json:"state" enum:"starting,active,standby,degraded,blocked,stopping"`
	Reasons []string      `json:"reasons" required:"false" nullable:"false" doc:"Why it is not simply active."`
	Streams []StreamState `json:"streams" required:"false" nullable:"false"`
	// Dataverse is nil without a copy there.
	Dataverse *CopyState `json:"dataverse,omitempty" required:"false" doc:"How the copy in Microsoft Dataverse is, where there is one."`
}

// CopyState is how the copy of the store in Dataverse is kept. Counts are of this process unless they say otherwise.
type CopyState struct {
	State        string      `json:"state" enum:"standby,active,throttled,degraded,blocked,budget" doc:"standby: another replica keeps the copy. throttled: Dataverse asked for a pause. budget: the rows of the day are used up."`
	Reasons      []string    `json:"reasons" nullable:"false"`
	Requests     int64       `json:"requests" doc:"Requests with rows."`
	Throttles    int64       `json:"throttles" doc:"Answers that asked for a pause."`
	Delivered    int64       `json:"delivered" doc:"Rows that Dataverse took."`
	TargetsToday int64       `json:"targetsToday" doc:"Rows sent on this UTC day by all processes."`
	Parked       int64       `json:"parked" doc:"Runs whose row Dataverse refuses."`
	ParkedRows   []ParkedRow `json:"parkedRows" nullable:"false" doc:"The newest of them, at most 20."`
}

// ParkedRow is a run whose row Dataverse refuses. The store has its full record.
type ParkedRow struct {
	CampaignID string    `json:"campaignId"`
	RunID      string    `json:"runId"`
	Phase      string    `json:"phase"`
	RunKey     uuid.UUID `json:"runKey"`
	Version    int64     `json:"version"`
	Reason     string    `json:"reason" doc:"The column and its limit, or Dataverse's own code and message."`
}

// StreamState is how the reading of one stream is.
type StreamState struct {
	Stream       string   `json:"stream"`
	State        string   `json:"state" enum:"starting,active,standby,degraded,blocked,stopping"`
	Epoch        int64    `json:"epoch" doc:"How many timelines of the stream were read, 0 before the first commit."`
	Position     uint64   `json:"position" doc:"The last sequence that is committed."`
	LastSequence uint64   `json:"lastSequence" doc:"The last sequence that the stream is known to hold."`
	Pending      uint64   `json:"pending" doc:"How many messages it is known to hold behind the position."`
	DelayMs      int64    `json:"delayMs" doc:"From when the stream stored the last message that this process committed until its commit, in milliseconds by the clocks of both; 0 before."`
	Applied      int64    `json:"applied" doc:"Events of this epoch that were applied to a run, as deadLetters and duplicates as of the last commit this process made or found."`
	Duplicates   int64    `json:"duplicates" doc:"Events of this epoch that were applied before."`
	DeadLetters  int64    `json:"deadLetters" doc:"Messages of this epoch that no run could take."`
	Gone         int64    `json:"gone" doc:"How many messages had left the stream before they were read, in this epoch."`
	OutageHours  *float64 `json:"outageHours" doc:"How many hours the database could stay away before events are lost or refused; null where nothing bounds it."`
	Reasons      []string `json:"reasons" nullable:"false"`
}

type healthOutput struct {
	Body struct {
		Status string `json:"status" enum:"ok"`
	}
}

type readyInput struct {
	Authorization string `header:"Authorization" hidden:"true"`
	APIKey        string `header:"X-API-Key" hidden:"true"`
}

type readyOutput struct {
	Body any
}

func (s *server) routeHealth(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "health", Method: http.MethodGet, Path: "/healthz", Tags: []string{"process"},
		Summary:     "Is the process alive",
		Description: "Never fails for a fault outside the process.",
	}, s.health)
	huma.Register(api, huma.Operation{
		OperationID: "ready", Method: http.MethodGet, Path: "/readyz", Tags: []string{"process"},
		Summary: "Can the process answer HTTP, and how is the rest",
		Description: "200 also when the store or Dataverse is down, blocked or throttled, or when another replica reads: " +
			"state and reasons say so. Where keys are in use, only a key with scope read sees more than state.",
		SkipValidateParams: true,
		Responses:          responses(api, http.StatusOK, schemaOf[State](api), http.StatusServiceUnavailable),
	}, s.ready)
}

func (s *server) health(context.Context, *struct{}) (*healthOutput, error) {
	var out healthOutput
	out.Body.Status = "ok"
	return &out, nil
}

func (s *server) ready(_ context.Context, in *readyInput) (*readyOutput, error) {
	state := s.State()
	if state.State == StateStopping {
		return nil, unavailable("the process is stopping")
	}
	if !s.mayRead(in.Authorization, in.APIKey) {
		return &readyOutput{Body: map[string]string{"state": state.State}}, nil
	}
	return &readyOutput{Body: shown(state)}, nil
}

// shown is a state with [] and not null wherever there is a list.
func shown(state State) State {
	state.Reasons = append([]string{}, state.Reasons...)
	state.Streams = append([]StreamState{}, state.Streams...)
	for i := range state.Streams {
		state.Streams[i].Reasons = append([]string{}, state.Streams[i].Reasons...)
	}
	if state.Dataverse != nil {
		copied := *state.Dataverse
		copied.Reasons = append([]string{}, copied.Reasons...)
		copied.ParkedRows = append([]ParkedRow{}, copied.ParkedRows...)
		state.Dataverse = &copied
	}
	return state
}

// sharedState is the state as JSON, worked out at most twice a second however many clients are shown it.
type sharedState struct {
	mu     sync.Mutex
	at     time.Time
	body   []byte
	number uint64 // changes with the body
}

const stateTime = 500 * time.Millisecond

// now returns the body and its number, which is never 0.
func (c *sharedState) now(state func() State, now time.Time) ([]byte, uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.body != nil && now.Sub(c.at) < stateTime {
		return c.body, c.number
	}
	body, err := json.Marshal(shown(state()))
	if err != nil {
		panic(err) // strings and numbers always encode
	}
	c.at = now
	if !bytes.Equal(body, c.body) {
		c.body, c.number = body, c.number+1
	}
	return c.body, c.number
}
