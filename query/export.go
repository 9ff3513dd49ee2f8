package query

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/danielgtaylor/huma/v2/negotiation"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/sinks"
)

const (
	exportPage = 500 // records read at a time
	// exportPageTime bounds the reading of a page behind the first, for which somebody waits.
	exportPageTime = 10 * time.Second
)

// exportFormat is what format= can say, with the type of such an answer.
type exportFormat struct {
	name, mediaType string
	contentType     string
	write           func(w http.ResponseWriter) recordWriter // nil: a page of JSON, which is no export
}

// recordWriter writes records, and what stands before them.
type recordWriter interface {
	begin() error
	write(records []aggregate.Metrics) error
}

var exportFormats = []exportFormat{
	{name: "json", mediaType: "application/json"},
	{"csv", "text/csv", "text/csv; charset=utf-8; header=present", newCSVWriter},
	{"ndjson", "application/x-ndjson", "application/x-ndjson", newLineWriter},
}

// format chooses the format: by the parameter, else by what the client would rather accept.
func (p *parameters) format(accept string) exportFormat {
	value := p.one("format")
	types := make([]string, len(exportFormats))
	for i, f := range exportFormats {
		if f.name == value {
			return f
		}
		types[i] = f.mediaType
	}
	if value != "" {
		p.refuse("format", "must be json, csv or ndjson")
		return exportFormats[0]
	}
	best := negotiation.SelectQValue(accept, types)
	for _, f := range exportFormats {
		if f.mediaType == best {
			return f
		}
	}
	return exportFormats[0]
}

// describeExport adds to the listing that it can be had as a file.
func describeExport(op *huma.Operation) {
	op.Description = "As csv and ndjson every record that matches is sent, read page by page; a limit may be any positive " +
		"number. Whoever gets less than all finds the connection cut. A run whose createdAt changes meanwhile may come twice. " +
		"csv is RFC 4180: a line of the field names, empty where JSON has null, numbers and times as in JSON. A text that a " +
		"spreadsheet would take for a formula, because it begins with = + - @ or a tab, begins with ' there."
	op.Parameters = append(op.Parameters, parameter("format", "In place of the header Accept with application/json, text/csv or application/x-ndjson.",
		&huma.Schema{Type: huma.TypeString, Enum: []any{"json", "csv", "ndjson"}, Default: "json"}))
	for _, f := range exportFormats[1:] {
		op.Responses["200"].Content[f.mediaType] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	}
}

// export answers a listing that is wanted as a file. Other requests it hands on.
func (s *server) export(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	w.Header().Add("Vary", "Accept")
	p, err := parseParameters(r.URL.RawQuery)
	if err != nil {
		next(ctx) // which says so
		return
	}
	format := p.format(r.Header.Get("Accept"))
	if format.write == nil && len(p.bad) == 0 {
		next(ctx)
		return
	}
	idleSince := s.idleSince()
	l, err := p.listing(math.MaxInt, math.MaxInt, idleSince)
	if err != nil {
		writeError(w, err)
		return
	}
	e := &exporter{server: s, listing: l, idleSince: idleSince}
	deadline, cancel := context.WithTimeout(r.Context(), storeTimeout)
	first, err := e.page(deadline)
	cancel()
	if err != nil {
		writeError(w, s.storeFailed(r.Context(), "export-metrics", err))
		return
	}
	w.Header().Set("Content-Type", format.contentType)
	w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="runmetrics-%s.%s"`,
		s.Now().UTC().Format("20060102T150405Z"), format.name))
	if r.Method == http.MethodHead {
		return
	}
	if err := e.send(r.Context(), w, format.write(w), first); err != nil {
		if r.Context().Err() == nil {
			s.Log.WarnContext(r.Context(), "export cut off", "operation", "export-metrics", "error", err)
		}
		panic(http.ErrAbortHandler) // so that half is not taken for the whole
	}
}

// writeError answers with a problem and its headers.
func writeError(w http.ResponseWriter, err error) {
	var with huma.HeadersError
	if errors.As(err, &with) {
		for name, values := range with.GetHeaders() {
			w.Header()[name] = values
		}
	}
	var p *huma.ErrorModel
	if !errors.As(err, &p) {
		panic(err)
	}
	writeProblem(w, p)
}

// exporter reads the records of a listing one page after the other.
type exporter struct {
	server *server
	listing
	idleSince time.Time
}

// page returns the next records, none behind the last.
func (e *exporter) page(ctx context.Context) ([]aggregate.Metrics, error) {
	if e.limit == 0 {
		return nil, nil
	}
	size := min(exportPage, e.limit)
	found, err := e.server.Reader.List(ctx, e.filter, e.after, size)
	if err != nil {
		return nil, err
	}
	e.limit -= len(found)
	if len(found) < size {
		e.limit = 0
	} else {
		last := &found[size-1]
		e.after = &sinks.Cursor{CreatedAt: last.CreatedAt, RunKey: last.RunKey}
	}
	showStalled(found, e.idleSince)
	return found, nil
}

// send writes the first page and all that come behind it. The client must take each within writeTimeout.
func (e *exporter) send(ctx context.Context, w http.ResponseWriter, to recordWriter, records []aggregate.Metrics) error {
	connection := http.NewResponseController(w)
	if err := to.begin(); err != nil {
		return err
	}
	for len(records) > 0 {
		// An error means that there is no connection to be patient with, as in tests.
		_ = connection.SetWriteDeadline(time.Now().Add(writeTimeout))
		if err := to.write(records); err != nil {
			return err
		}
		if err := connection.Flush(); err != nil {
			return err
		}
		deadline, cancel := context.WithTimeout(ctx, exportPageTime)
		var err error
		records, err = e.page(deadline)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

// lineWriter writes a record a line, as JSON shows it.
type lineWriter struct{ *json.Encoder }

func newLineWriter(w http.ResponseWriter) recordWriter {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return lineWriter{e}
}

func (l lineWriter) begin() error { return nil }

func (l lineWriter) write(records []aggregate.Metrics) error {
	for i := range records {
		if err := l.Encode(&records[i]); err != nil {
			return err
		}
	}
	return nil
}
