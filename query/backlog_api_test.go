package query_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/query"
	"github.com/apexsalesai/runmetrics/sinks"
)

func TestBacklogIsNullWhereNoCopyIsKept(t *testing.T) {
	t.Parallel()
	newWorld(t, nil).get("/api/backlog").has(t, map[string]any{"dataverse": nil})
}

// Rows are sent without any announcement, so nobody may be told that a count is still right; and to count is not for every
// request.
func TestBacklogIsCountedAtMostEveryFiveSeconds(t *testing.T) {
	t.Parallel()
	counted := 0
	var fault error
	w := newWorld(t, func(c *query.Config) {
		c.Backlog = func(ctx context.Context) (query.Backlog, error) {
			if _, limited := ctx.Deadline(); !limited {
				return query.Backlog{}, errors.New("counted without a deadline")
			}
			counted++
			since := start
			return query.Backlog{Waiting: int64(counted), WaitingSince: &since, Parked: 3}, fault
		}
	})
	for range 4 {
		got := w.send(http.MethodGet, "/api/backlog", "", "If-None-Match", "*")
		w.want(http.StatusOK, got).object("dataverse").has(t, map[string]any{"waiting": 1, "waitingSince": "2026-02-14T12:00:00Z", "parked": 3})
	}
	w.now = start.Add(5 * time.Second)
	w.get("/api/backlog").object("dataverse").has(t, map[string]any{"waiting": 2})
	fault, w.now = sinks.ErrUnavailable, start.Add(time.Minute)
	w.wantProblem(http.StatusServiceUnavailable, w.send(http.MethodGet, "/api/backlog", ""))
}
