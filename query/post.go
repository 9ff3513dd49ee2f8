package query

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
)

// commitWait is how long a POST waits for its event to be published and committed before it answers 202.
const commitWait = 5 * time.Second

// reportInput is the request before anything of it is judged.
type reportInput struct {
	id      string
	body    []byte
	refused *huma.ErrorModel // why the body was not read
}

// Resolve reads the raw body: huma would parse it, and turn its money into floats.
func (in *reportInput) Resolve(ctx huma.Context) []error {
	r, w := humago.Unwrap(ctx)
	if in.refused = requireJSON(r); in.refused == nil {
		in.body, in.refused = readBody(w, r, maxReport)
	}
	in.id = uuid.NewString()
	if given := r.Header.Values(idempotencyKey); len(given) > 0 {
		in.id = given[0]
	}
	return nil
}

// requireJSON holds with keys and without: a form on a foreign page can post other types without asking first.
func requireJSON(r *http.Request) *huma.ErrorModel {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if mediaType != "application/json" || err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		return problem(http.StatusUnsupportedMediaType, "Content-Type must be application/json")
	}
	return nil
}

// readBody reads all of a body of up to limit bytes.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, *huma.ErrorModel) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var timeout net.Error
	switch {
	case err == nil:
		return body, nil
	case errors.As(err, new(*http.MaxBytesError)):
		return nil, tooLarge(limit)
	case errors.As(err, &timeout) && timeout.Timeout():
		return nil, problem(http.StatusRequestTimeout, "the body did not arrive in time")
	}
	return nil, problem(http.StatusBadRequest, "the body ended early")
}

type reportOutput struct {
	Status   int
	Location string `header:"Location"`
	Body     any    // aggregate.Metrics or accepted
}

// accepted is the answer to a report that is in the stream and not yet known to be in the store.
type accepted struct {
	RunKey   uuid.UUID `json:"runKey"`
	Stream   string    `json:"stream"`
	Sequence uint64    `json:"sequence"`
}

func (s *server) routeReport(api huma.API) {
	op := huma.Operation{
		OperationID: "report-metrics", Method: http.MethodPost, Path: campaignPath, Tags: []string{"metrics"},
		Summary: "Report the record of a run that its runtime aggregated by itself",
		Description: "201 with the stored record once it is committed; 202 where that takes longer than five seconds. " +
			"The stored record shows other numbers than the report where executions of the run are known or a later report is.",
		DefaultStatus: http.StatusCreated,
		Parameters: []*huma.Param{{Name: idempotencyKey, In: "header", Schema: text(128),
			Description: "Id of the report within its run: repeated with the same id it is counted once. A fresh UUID where absent."}},
		Responses: responses(api, http.StatusCreated, schemaOf[aggregate.Metrics](api), http.StatusBadRequest,
			http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge,
			http.StatusUnsupportedMediaType, http.StatusServiceUnavailable),
	}
	op.Responses["202"] = response(http.StatusAccepted, "application/json", schemaOf[accepted](api))
	huma.Register(api, s.guard(op, ScopeWrite), s.report)
	// Described after the fact: an operation that huma knows to have a body has it read by huma.
	api.OpenAPI().Paths[campaignPath].Post.RequestBody = &huma.RequestBody{
		Required: true,
		Content: map[string]*huma.MediaType{"application/json": {
			Schema: schemaOf[reportBody](api), Example: json.RawMessage(exampleReport)}},
	}
}

func (s *server) report(ctx context.Context, in *reportInput) (*reportOutput, error) {
	if in.refused != nil {
		return nil, in.refused
	}
	e, err := reportedEvent(in.body, in.id, s.Now())
	if err != nil {
		return nil, err
	}
	wait, cancel := context.WithTimeout(ctx, commitWait)
	defer cancel()
	receipt := s.Publish(wait, []*events.Event{&e})[0]
	if receipt.Err != nil {
		s.publishFailed(ctx, "report-metrics", receipt.Err)
		return nil, unavailable("the event stream does not answer; try again with the same " + idempotencyKey)
	}
	out := &reportOutput{
		Status:   http.StatusAccepted,
		Location: runPath(&e.Key),
		Body:     accepted{RunKey: e.UUID(), Stream: receipt.Stream, Sequence: receipt.Sequence},
	}
	if s.Committed(wait, receipt) != nil {
		return out, nil
	}
	if stored, found := s.stored(ctx, e.UUID()); found {
		out.Status, out.Body = http.StatusCreated, stored
	}
	return out, nil
}

// stored returns the record of a run that was just committed. If the store went away since, 202 is still the truth.
func (s *server) stored(ctx context.Context, run uuid.UUID) (aggregate.Metrics, bool) {
	deadline, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	m, found, err := s.Reader.Get(deadline, run)
	if err != nil || !found {
		return aggregate.Metrics{}, false
	}
	records := []aggregate.Metrics{m}
	showStalled(records, s.idleSince())
	return records[0], true
}

// publishFailed logs why a stream did not confirm what it was sent, unless the client left.
func (s *server) publishFailed(request context.Context, operation string, err error) {
	if request.Err() == nil {
		s.outages.note(request, operation, err, s.Now())
	}
}

// runPath is where the run of a key is shown.
func runPath(k *events.Key) string {
	return campaignPath + "/" + events.EncodeToken(k.CampaignID) + "/runs/" + events.EncodeToken(k.RunID)
}
