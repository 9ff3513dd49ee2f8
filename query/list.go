package query

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/sinks"
)

const campaignPath = "/api/metrics/campaign"

// storeTimeout bounds everything that one request asks of the store, so that its answer is there within two seconds.
const storeTimeout = 1500 * time.Millisecond

type listInput struct {
	rawQuery string
}

// Resolve takes the query as it came: huma would read %zz as nothing and answer as if there were no filter.
func (in *listInput) Resolve(ctx huma.Context) []error {
	u := ctx.URL()
	in.rawQuery = u.RawQuery
	return nil
}

type listOutput struct {
	Body page
}

type page struct {
	Metrics    []aggregate.Metrics `json:"metrics" nullable:"false" doc:"Newest first, by createdAt and then runKey."`
	NextCursor *string             `json:"nextCursor" doc:"Place of the next page, null behind the last."`
}

func (s *server) routeList(api huma.API) {
	op := huma.Operation{
		OperationID: "list-metrics", Method: http.MethodGet, Path: campaignPath, Tags: []string{"metrics"},
		Summary:    "List records, newest first",
		Parameters: listParameters(),
		Responses: responses(api, http.StatusOK, schemaOf[page](api), http.StatusBadRequest, http.StatusUnauthorized,
			http.StatusForbidden, http.StatusServiceUnavailable),
	}
	describeExport(&op)
	op = s.guard(op, ScopeRead)
	op.Middlewares = append(op.Middlewares, s.export)
	huma.Register(api, op, s.list)
}

func (s *server) list(ctx context.Context, in *listInput) (*listOutput, error) {
	idleSince := s.idleSince()
	l, err := parseListing(in.rawQuery, idleSince)
	if err != nil {
		return nil, err
	}
	deadline, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	// One record more than asked for tells whether there is a next page.
	found, err := s.Reader.List(deadline, l.filter, l.after, l.limit+1)
	if err != nil {
		return nil, s.storeFailed(ctx, "list-metrics", err)
	}
	clock := clockOf(ctx)
	clock.see(found...)
	if l.filter.Status != aggregate.Stalled { // runs that turn stalled are not among these
		clock.seenAll()
	}
	out := page{Metrics: append([]aggregate.Metrics{}, found[:min(len(found), l.limit)]...)} // [] and not null
	if len(found) > l.limit {
		last := &out.Metrics[l.limit-1]
		next := encodeCursor(sinks.Cursor{CreatedAt: last.CreatedAt, RunKey: last.RunKey}, l.filter)
		out.NextCursor = &next
	}
	showStalled(out.Metrics, idleSince)
	return &listOutput{Body: out}, nil
}

// showStalled changes what is shown as running although nothing was committed for so long. It changes no number.
func showStalled(records []aggregate.Metrics, idleSince time.Time) {
	for i := range records {
		if m := &records[i]; m.Status == aggregate.Running && m.UpdatedAt.Before(idleSince) {
			m.Status = aggregate.Stalled
		}
	}
}
