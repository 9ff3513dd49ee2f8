package query

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/sinks"
)

// Bounds of a page.
const (
	defaultLimit = 10
	maxLimit     = 500
)

// listing is what a GET of the records asks for.
type listing struct {
	filter sinks.Filter
	after  *sinks.Cursor
	limit  int
}

// listParameters describes what parseListing reads.
func listParameters() []*huma.Param {
	return append(pageParameters("records", defaultLimit, maxLimit), filterParameters()...)
}

func parameter(name, description string, schema *huma.Schema) *huma.Param {
	return &huma.Param{Name: name, In: "query", Description: description, Schema: schema}
}

// pageParameters describes what says which part of a list is wanted.
func pageParameters(of string, some, most int) []*huma.Param {
	low, high := 1.0, float64(most)
	return []*huma.Param{
		parameter("limit", "How many "+of+" at most.",
			&huma.Schema{Type: huma.TypeInteger, Minimum: &low, Maximum: &high, Default: some}),
		parameter("cursor", "The nextCursor of the page before, asked for with the same filters.",
			&huma.Schema{Type: huma.TypeString}),
	}
}

// filterParameters describes what parameters.filter reads.
func filterParameters() []*huma.Param {
	moment := &huma.Schema{Type: huma.TypeString, Format: "date-time"}
	return []*huma.Param{
		parameter("campaignId", "Records of this campaign.", text(maxID)),
		parameter("runId", "Records of runs with this id.", text(maxID)),
		parameter("phase", "Records of this phase.", text(maxPhase)),
		parameter("status", "Records that show this status.", statusSchema{}.Schema(nil)),
		parameter("since", "Records created at this time or later.", moment),
		parameter("until", "Records created before this time.", moment),
	}
}

// parseListing reads the query of a URL. An empty parameter counts as absent, as forms send it. The error is a problem
// that names every bad parameter.
func parseListing(rawQuery string, idleSince time.Time) (listing, error) {
	p, err := parseParameters(rawQuery)
	if err != nil {
		return listing{}, err
	}
	return p.listing(defaultLimit, maxLimit, idleSince)
}

// listing takes the whole of what a listing is asked for, with so many records where nothing is said and at the most.
func (p *parameters) listing(some, most int, idleSince time.Time) (listing, error) {
	l := listing{limit: p.limit(some, most), filter: p.filter(idleSince)}
	cursor := p.one("cursor")
	if len(p.bad) == 0 && cursor != "" { // with bad filters there is nothing to compare it with
		after, err := decodeCursor(cursor, l.filter)
		if err != nil {
			p.refuse("cursor", err.Error())
		}
		l.after = &after
	}
	if len(p.bad) > 0 {
		return listing{}, invalid(p.bad)
	}
	return l, nil
}

// parameters takes typed values out of a query and keeps a list of what is bad. A bad value reads as zero.
type parameters struct {
	values url.Values
	bad    []*huma.ErrorDetail
}

// parseParameters reads the query of a URL. The error is a problem.
func parseParameters(rawQuery string) (*parameters, error) {
	values, err := url.ParseQuery(rawQuery)
	if err != nil {
		return nil, problem(http.StatusBadRequest, "the query of the URL is not well encoded")
	}
	return &parameters{values: values}, nil
}

func (p *parameters) refuse(name, message string) { p.bad = append(p.bad, bad("query."+name, message)) }

func (p *parameters) one(name string) string {
	if len(p.values[name]) > 1 {
		p.refuse(name, "must be given once")
		return ""
	}
	return p.values.Get(name)
}

func (p *parameters) name(name string, limit int) string {
	value := p.one(name)
	if value == "" {
		return ""
	}
	if message := nameProblem(value, limit); message != "" {
		p.refuse(name, message)
	}
	return value
}

// filter takes what selects records.
func (p *parameters) filter(idleSince time.Time) sinks.Filter {
	return sinks.Filter{
		CampaignID: p.name("campaignId", maxID),
		RunID:      p.name("runId", maxID),
		Phase:      p.name("phase", maxPhase),
		Status:     p.status(),
		Since:      p.time("since"),
		Until:      p.time("until"),
		IdleSince:  idleSince,
	}
}

// limit takes how much of a list is wanted, some where nothing is said.
func (p *parameters) limit(some, most int) int {
	value := p.one("limit")
	if value == "" {
		return some
	}
	limit, err := strconv.Atoi(value)
	if err != nil || limit < 1 || limit > most {
		p.refuse("limit", fmt.Sprintf("must be an integer from 1 to %d", most))
	}
	return limit
}

func (p *parameters) status() aggregate.Status {
	value := aggregate.Status(p.one("status"))
	switch value {
	case "", aggregate.Running, aggregate.Stalled, aggregate.Completed, aggregate.Failed, aggregate.Cancelled:
		return value
	}
	p.refuse("status", "must be running, stalled, completed, failed or cancelled")
	return ""
}

func (p *parameters) time(name string) time.Time {
	value := p.one(name)
	if value == "" {
		return time.Time{}
	}
	t, ok := parseTime(value)
	switch {
	case ok:
		return t
	case strings.Contains(value, " "):
		p.refuse(name, "must be an RFC 3339 time such as 2026-02-14T14:47:08Z; a + in it is written %2B")
	default:
		p.refuse(name, "must be an RFC 3339 time such as 2026-02-14T14:47:08Z")
	}
	return time.Time{}
}
