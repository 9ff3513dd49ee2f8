package query_test

import (
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/apexsalesai/runmetrics/aggregate"
)

// spec reads /openapi.json.
func (w *world) spec() object { return w.get("/openapi.json") }

func TestOpenAPINamesEveryRouteAndParameter(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	spec := w.spec()
	spec.has(t, map[string]any{"openapi": "3.1.0"})
	object(spec.object("info")).has(t, map[string]any{"title": "runmetrics", "version": "1.2.3"})
	var routes []string
	for path, item := range spec.object("paths") {
		for method := range item.(map[string]any) {
			routes = append(routes, strings.ToUpper(method)+" "+path)
		}
	}
	sort.Strings(routes)
	want := []string{"GET /api/backlog", "GET /api/deadletters", "GET " + campaign, "GET " + campaign + "/stream", "GET " + campaign + "/summary",
		"GET " + campaign + "/{campaignId}/runs/{runId}", "GET " + campaign + "/{campaignId}/summary", "GET /asyncapi.json", "GET /healthz", "GET /metrics", "GET /openapi.json", "GET /readyz", "POST /api/events", "POST " + campaign}
	if !slices.Equal(routes, want) {
		t.Errorf("routes %q", routes)
	}
	var parameters []string
	for _, p := range object(spec.object("paths").object(campaign).object("get")).list("parameters") {
		parameters = append(parameters, p["name"].(string))
	}
	if want := []string{"limit", "cursor", "campaignId", "runId", "phase", "status", "since", "until", "format", "If-None-Match"}; !slices.Equal(parameters, want) {
		t.Errorf("parameters %q", parameters)
	}
	if text := jsonOf(spec); strings.Contains(text, "$schema") || strings.Contains(text, `"422"`) {
		t.Error("describes what is never answered")
	}
}

func TestOpenAPIReferencesResolve(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	spec := w.spec()
	schemas := spec.object("components").object("schemas")
	for _, part := range strings.Split(jsonOf(spec), `"$ref":"`)[1:] {
		ref, _, _ := strings.Cut(part, `"`)
		if _, found := schemas[strings.TrimPrefix(ref, "#/components/schemas/")]; !found {
			t.Errorf("%s is not there", ref)
		}
	}
}

func TestOpenAPIDescribesTheRecordAsItIsWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	schema := w.spec().object("components").object("schemas").object("Metrics")
	written := map[string]any{}
	if err := json.Unmarshal([]byte(jsonOf(aggregate.Metrics{})), &written); err != nil {
		t.Fatal(err)
	}
	properties := schema.object("properties")
	if len(properties) != len(written) {
		t.Errorf("%d properties, the record has %d", len(properties), len(written))
	}
	for name := range written {
		if _, described := properties[name]; !described {
			t.Errorf("%s is not described", name)
		}
	}
	for name, want := range map[string]any{
		"costUSD": "number", "successRate": []string{"number", "null"}, "executions": []string{"integer", "null"},
		"finishedAt": []string{"string", "null"}, "agentsTotal": "integer", "runKey": "string",
	} {
		if got := properties.object(name)["type"]; jsonOf(got) != jsonOf(want) {
			t.Errorf("%s: type %v, want %v", name, got, want)
		}
	}
	properties.object("status").has(t, map[string]any{"enum": []string{"running", "stalled", "completed", "failed", "cancelled"}})
}

// TestOpenAPIDescribesTheReportAsItIsRead leaves properties out one by one and compares what the document says of them
// with what the handler does.
func TestOpenAPIDescribesTheReportAsItIsRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	spec := w.spec()
	content := spec.object("paths").object(campaign).object("post").object("requestBody").object("content").object("application/json")
	var fields, shown map[string]any
	if err := json.Unmarshal([]byte(example), &fields); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(jsonOf(content["example"])), &shown); err != nil || !reflect.DeepEqual(shown, fields) {
		t.Errorf("example %v, %v", shown, err)
	}
	name := strings.TrimPrefix(content.object("schema")["$ref"].(string), "#/components/schemas/")
	schema := spec.object("components").object("schemas").object(name)
	schema.has(t, map[string]any{"additionalProperties": true})
	for field := range fields {
		if _, described := schema.object("properties")[field]; !described {
			t.Errorf("%s is not described", field)
		}
		required := slices.Contains(schema["required"].([]any), any(field))
		value := fields[field]
		delete(fields, field)
		got := w.send(http.MethodPost, campaign, jsonOf(fields))
		fields[field] = value
		if required != (got.Code == http.StatusBadRequest) {
			t.Errorf("%s: required %v, left out it is answered with %d", field, required, got.Code)
		}
	}
}

func TestOpenAPIAsksForKeysWhereTheHandlerDoes(t *testing.T) {
	t.Parallel()
	w, _, _ := withKeys(t)
	for path, item := range w.spec().object("paths") {
		for method, operation := range item.(map[string]any) {
			_, guarded := operation.(map[string]any)["security"]
			if guarded != (strings.HasPrefix(path, "/api/") || path == "/metrics") {
				t.Errorf("%s %s: guarded %v", method, path, guarded)
			}
		}
	}
	if open := newWorld(t, nil); strings.Contains(jsonOf(open.spec()), `"security"`) {
		t.Error("asks for keys where there are none")
	}
}
