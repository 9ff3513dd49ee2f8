package query

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"math"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

const (
	deadLettersPath   = "/api/deadletters"
	defaultLetters    = 50
	letterCursorBytes = 1 + filterHashSize + 8 + 8 // before the stream's name
	letterCursor      = 2                          // no cursorVersion: neither listing takes the other's cursors
)

// deadLetter is a dead letter without what the message held: its payload and its subject are a producer's.
type deadLetter struct {
	Stream     string        `json:"stream"`
	Epoch      int64         `json:"epoch" doc:"Which timeline of the stream, as on /readyz."`
	Sequence   uint64        `json:"sequence"`
	CampaignID string        `json:"campaignId" doc:"Empty where neither the event nor its subject names one."`
	RunID      string        `json:"runId"`
	Reason     events.Reason `json:"reason"`
	Field      string        `json:"field" doc:"The first bad field, empty where the message as a whole is at fault."`
	Detail     string        `json:"detail" doc:"Every bad field with its rule."`
	Time       time.Time     `json:"time" doc:"When the stream stored the message."`
}

type letterPage struct {
	DeadLetters []deadLetter `json:"deadLetters" nullable:"false" doc:"Those that nobody has dealt with, by stream, epoch and sequence, each descending: of one stream the newest first."`
	NextCursor  *string      `json:"nextCursor" doc:"Place of the next page, null behind the last."`
}

type letterPageOutput struct {
	Body letterPage
}

func (s *server) routeDeadLetters(api huma.API) {
	huma.Register(api, s.guard(huma.Operation{
		OperationID: "list-dead-letters", Method: http.MethodGet, Path: deadLettersPath, Tags: []string{"events"},
		Summary:     "List messages that no run could take, newest first",
		Description: "Where they stand in their stream and why; the payload is shown by `runmetrics deadletters show`.",
		Parameters: append(pageParameters("dead letters", defaultLetters, maxLimit),
			parameter("campaignId", "Dead letters that name this campaign.", text(maxID)),
			parameter("runId", "Dead letters that name a run with this id.", text(maxID)),
			parameter("since", "Dead letters whose message was stored at this time or later.",
				&huma.Schema{Type: huma.TypeString, Format: "date-time"})),
		Responses: responses(api, http.StatusOK, schemaOf[letterPage](api), http.StatusBadRequest, http.StatusUnauthorized,
			http.StatusForbidden, http.StatusServiceUnavailable),
	}, ScopeRead), s.deadLetters)
}

func (s *server) deadLetters(ctx context.Context, in *listInput) (*letterPageOutput, error) {
	filter, after, limit, err := parseLetterListing(in.rawQuery)
	if err != nil {
		return nil, err
	}
	deadline, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	// One more than asked for tells whether there is a next page.
	found, err := s.Letters(deadline, filter, after, limit+1)
	if err != nil {
		return nil, s.storeFailed(ctx, "list-dead-letters", err)
	}
	clockOf(ctx).seenAll() // time alone changes none of them
	var out letterPageOutput
	if len(found) > limit {
		found = found[:limit]
		next := encodeLetterCursor(found[limit-1].ID(), filter)
		out.Body.NextCursor = &next
	}
	out.Body.DeadLetters = make([]deadLetter, len(found))
	for i := range found {
		l := &found[i]
		out.Body.DeadLetters[i] = deadLetter{Stream: l.Stream, Epoch: l.Epoch, Sequence: l.Sequence,
			CampaignID: l.CampaignID, RunID: l.RunID, Reason: l.Reason, Field: l.Field, Detail: l.Detail, Time: l.Time}
	}
	return &out, nil
}

// parseLetterListing reads the query of a URL, as parseListing does.
func parseLetterListing(rawQuery string) (f sinks.LetterFilter, after *sinks.LetterID, limit int, err error) {
	p, err := parseParameters(rawQuery)
	if err != nil {
		return f, nil, 0, err
	}
	limit = p.limit(defaultLetters, maxLimit)
	f = sinks.LetterFilter{CampaignID: p.name("campaignId", maxID), RunID: p.name("runId", maxID), Since: p.time("since"),
		NewestFirst: true}
	cursor := p.one("cursor")
	if len(p.bad) == 0 && cursor != "" { // with bad filters there is nothing to compare it with
		id, err := decodeLetterCursor(cursor, f)
		if err != nil {
			p.refuse("cursor", err.Error())
		}
		after = &id
	}
	if len(p.bad) > 0 {
		return f, nil, 0, invalid(p.bad)
	}
	return f, after, limit, nil
}

// encodeLetterCursor writes a place in the listing with these filters.
func encodeLetterCursor(id sinks.LetterID, f sinks.LetterFilter) string {
	b := append(make([]byte, 0, letterCursorBytes+len(id.Stream)), letterCursor)
	b = append(b, hashLetterFilter(f)...)
	b = binary.BigEndian.AppendUint64(b, uint64(id.Epoch))
	b = binary.BigEndian.AppendUint64(b, id.Sequence)
	return base64.RawURLEncoding.EncodeToString(append(b, id.Stream...))
}

// decodeLetterCursor reads what encodeLetterCursor wrote for the same filters. Its errors are errCursor and
// errOtherFilters.
func decodeLetterCursor(s string, f sinks.LetterFilter) (sinks.LetterID, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) <= letterCursorBytes || b[0] != letterCursor {
		return sinks.LetterID{}, errCursor
	}
	filters, rest := b[1:1+filterHashSize], b[1+filterHashSize:]
	epoch, sequence, stream := binary.BigEndian.Uint64(rest), binary.BigEndian.Uint64(rest[8:]), string(rest[16:])
	switch {
	case epoch > math.MaxInt64 || sequence > math.MaxInt64 || nameProblem(stream, maxID) != "":
		return sinks.LetterID{}, errCursor
	case string(filters) != string(hashLetterFilter(f)):
		return sinks.LetterID{}, errOtherFilters
	}
	return sinks.LetterID{Stream: stream, Epoch: int64(epoch), Sequence: sequence}, nil
}

func hashLetterFilter(f sinks.LetterFilter) []byte {
	return hashFilters([]string{f.CampaignID, f.RunID}, f.Since)
}
