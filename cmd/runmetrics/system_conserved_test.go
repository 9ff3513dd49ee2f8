package main

import (
	"bytes"
	"net/http"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// scrape asks for /metrics and returns the values of all metrics of streams: by stream, then by name. Those that are apart by
// reason or state are added up.
func (p *program) scrape(t *testing.T) map[string]map[string]int64 {
	t.Helper()
	a := p.get(t, "/metrics")
	if a.status != http.StatusOK {
		t.Fatalf("GET /metrics: %d: %s", a.status, a.body)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(a.body))
	if err != nil {
		t.Fatalf("GET /metrics: %v: %s", err, a.body)
	}
	streams := make(map[string]map[string]int64)
	for name, family := range families {
		for _, m := range family.Metric {
			for _, label := range m.GetLabel() {
				if label.GetName() != "stream" {
					continue
				}
				stream := label.GetValue()
				if streams[stream] == nil {
					streams[stream] = make(map[string]int64)
				}
				streams[stream][name] += int64(valueOf(m))
			}
		}
	}
	if len(streams) == 0 {
		t.Fatalf("/metrics names no stream: %s", a.body)
	}
	return streams
}

func valueOf(m *dto.Metric) float64 {
	if m.Counter != nil {
		return m.Counter.GetValue()
	}
	return m.Gauge.GetValue()
}

// wantConserved fails the test unless every message that the service took is accounted for, in this process and in the
// store, at this very moment. It may be called at any time.
func wantConserved(t *testing.T, p *program) {
	t.Helper()
	for stream, n := range p.scrape(t) {
		read := n["runmetrics_messages_read_total"]
		became := n["runmetrics_events_applied_total"] + n["runmetrics_events_duplicate_total"] +
			n["runmetrics_events_dead_lettered_total"] + n["runmetrics_messages_discarded_total"] + n["runmetrics_messages_in_flight"]
		position := n["runmetrics_stream_position"]
		stored := n["runmetrics_stored_applied"] + n["runmetrics_stored_duplicates"] + n["runmetrics_stored_dead_letters"] +
			n["runmetrics_stored_gone"]
		if read != became || position != stored {
			t.Errorf("stream %s: %d read, of which %d are accounted for; position %d, of which %d are: %v",
				stream, read, became, position, stored, n)
		}
		if all, byReason := n["runmetrics_events_dead_lettered_total"], n["runmetrics_dead_letters_total"]; all != byReason {
			t.Errorf("stream %s: %d dead letters, %d by reason", stream, all, byReason)
		}
	}
}
