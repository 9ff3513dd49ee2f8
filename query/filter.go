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
	return []*huma.Param{
		inQuery("limit", "How many records at most.", limitSchema(defaultLimit, maxLimit)),
		cursorParameter(),
		inQuery("campaignId", "Records of this campaign.", text(maxID)),
		inQuery("runId", "Records of runs with this id.", text(maxID)),
		inQuery("phase", "Records of this phase.", text(maxPhase)),
		inQuery("status", "Records that show this status.", statusSchema{}.Schema(nil)),
		inQuery("since", "Records created at this time or later.", momentSchema()),
		inQuery("until", "Records created before this time.", momentSchema()),
	}
}

func inQuery(name, description string, schema *huma.Schema) *huma.Param {
	return &huma.Param{Name: name, In: "query", Description: description, Schema: schema}
}

func cursorParameter() *huma.Param {
	return inQuery("cursor", "The nextCursor of the page before, asked for with the same filters.",
		&huma.Schema{Type: huma.TypeString})
}

func limitSchema(absent, most int) *huma.Schema {
	least, greatest := 1.0, float64(most)
	return &huma.Schema{Type: huma.TypeInteger, Minimum: &least, Maximum: &greatest, Default: absent}
}

func momentSchema() *huma.Schema { return &huma.Schema{Type: huma.TypeString, Format: "date-time"} }

// parseListing reads the query of a URL. An empty parameter counts as absent, as forms send it. The error is a problem
// that names every bad parameter.
func parseListing(rawQuery string, idleSince time.Time) (listing, error) {
	values, err := url.ParseQuery(rawQuery)
	if err != nil {
		return listing{}, problem(http.StatusBadRequest, "the query of the URL is not well encoded")
	}
	p := parameters{values: values}
	l := listing{limit: p.limit(defaultLimit, maxLimit), filter: sinks.Filter{
		CampaignID: p.name("campaignId", maxID),
		RunID:      p.name("runId", maxID),
		Phase:      p.name("phase", maxPhase),
		Status:     p.status(),
		Since:      p.time("since"),
		Until:      p.time("until"),
		IdleSince:  idleSince,
	}}
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

func (p *parameters) limit(absent, most int) int {
	value := p.one("limit")
	if value == "" {
		return absent
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
