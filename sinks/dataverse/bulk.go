package dataverse

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/apexsalesai/runmetrics/sinks"
)

// Answer is what a bulk request tells about the service.
type Answer struct {
	Status  int           // of HTTP
	DOPHint int           // how many requests at once it recommends, 0 where it says nothing
	Took    time.Duration // from sending the request to the end of the answer
	// RequestsLeft is how many requests the web server that answered still takes within its window, -1 where it does not
	// say. The next request may meet another server: it is to be shown, not to steer by.
	RequestsLeft int
}

// UpsertMultiple writes rows, each to the row whose primary id it holds, and makes those that are not there. No row may
// occur twice. On a standard table all of them are written or none; an error does not say which row was at fault.
func (c *Client) UpsertMultiple(ctx context.Context, t *Table, rows []Row) (Answer, error) {
	op := fmt.Sprintf("upsert %d rows of %s", len(rows), t.EntitySet)
	body, err := t.targets(rows)
	if err != nil {
		return Answer{}, fmt.Errorf("%s: %w", op, err)
	}
	answer, err := c.do(ctx, request{op: op, method: http.MethodPost, body: body,
		url: c.url(url.PathEscape(t.EntitySet) + "/Microsoft.Dynamics.CRM.UpsertMultiple")})
	if err != nil {
		return Answer{}, err
	}
	left, err := strconv.Atoi(answer.header.Get("x-ms-ratelimit-burst-remaining-xrm-requests"))
	if err != nil {
		left = -1
	}
	return Answer{Status: answer.status, DOPHint: answer.dopHint(), Took: answer.took, RequestsLeft: left}, nil
}

// targets is the body of a bulk request. Each row says of what type it is, without which Dataverse refuses it.
func (t *Table) targets(rows []Row) ([]byte, error) {
	body := []byte(`{"Targets":[`)
	for i, row := range rows {
		if id, isText := row[t.PrimaryID].(string); !isText || id == "" {
			return nil, fmt.Errorf("%w: row %d has no %s", sinks.ErrRefused, i, t.PrimaryID)
		}
		columns, err := row.encode()
		if err != nil {
			return nil, err
		}
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, `{"@odata.type":`...)
		kind, err := json.Marshal("Microsoft.Dynamics.CRM." + t.LogicalName)
		if err != nil {
			return nil, err
		}
		body = append(append(body, kind...), ',')
		body = append(body, columns[1:]...) // a row with an id is never {}
	}
	return append(body, "]}"...), nil
}
