package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// importRule says what a package may import besides the standard library.
type importRule struct {
	pkg     string            // of this module, relative to it
	project []string          // of this module, relative
	modules map[string]string // from elsewhere, with the reason
}

// importRules keep imports pointing down: cmd → {query, consumer, sinks/*} → sinks → aggregate → events. Siblings do not
// know each other.
var importRules = []importRule{
	{"events", nil, map[string]string{
		"github.com/go-json-experiment/json": "strict decoding without floats, the standard library's from Go 1.27 on",
		"github.com/google/uuid":             "run keys are UUIDv5",
	}},
	{"events/schema", []string{"events"}, nil},
	{"events/publish", []string{"events"}, map[string]string{
		"github.com/nats-io/nats.go":     "it publishes to JetStream",
		"github.com/google/uuid":         "ids of events",
		"go.opentelemetry.io/otel/trace": "events carry the trace of who publishes them",
	}},
	{"aggregate", []string{"events"}, map[string]string{
		"github.com/google/uuid": "runs are known by their keys",
	}},
	{"aggregate/aggregatetest", []string{"aggregate", "events"}, nil},
	{"sinks", []string{"aggregate", "events"}, map[string]string{
		"github.com/go-json-experiment/json": "stored events are JSON arrays",
		"github.com/google/uuid":             "runs are known by their keys",
	}},
	{"sinks/sinktest", []string{"sinks", "aggregate", "events"}, map[string]string{
		"github.com/google/uuid":  "runs are known by their keys",
		"github.com/jackc/pgx/v5": "it starts a real Postgres and looks whether that is up",
		"golang.org/x/sync":       "rival writers in one group",
	}},
	{"sinks/postgres", []string{"sinks", "aggregate", "events"}, map[string]string{
		"github.com/jackc/pgx/v5":     "the driver; pipelines make a commit one round trip",
		"github.com/pressly/goose/v3": "migrations, with a lock that holds through a pooler",
		"github.com/google/uuid":      "runs are known by their keys",
	}},
	{"sinks/sqlite", []string{"sinks", "aggregate", "events"}, map[string]string{
		"modernc.org/sqlite":          "the driver, without C",
		"github.com/pressly/goose/v3": "migrations, the same tool as for Postgres",
		"github.com/google/uuid":      "runs are known by their keys",
	}},
	{"sinks/dataverse", []string{"sinks", "aggregate", "events"}, map[string]string{
		"github.com/google/uuid":   "row ids are run keys",
		"golang.org/x/oauth2":      "client credentials",
		"go.opentelemetry.io/otel": "requests are measured and have spans",
	}},
	{"sinks/dataverse/emulator", nil, map[string]string{
		"github.com/google/uuid": "row ids",
	}},
	{"consumer", []string{"sinks", "aggregate", "events"}, map[string]string{
		"github.com/nats-io/nats.go": "it reads JetStream",
		"github.com/google/uuid":     "runs are known by their keys",
		"go.opentelemetry.io/otel":   "spans of commits",
	}},
	{"consumer/replay", []string{"sinks", "aggregate", "events"}, map[string]string{
		"github.com/nats-io/nats.go": "it reads streams",
		"github.com/google/uuid":     "runs are known by their keys",
		"golang.org/x/sync":          "what is held is read beside the comparing, with one error",
	}},
	{"consumer/simulation", []string{"consumer", "sinks", "aggregate", "events"}, nil}, // tests alone
	{"consumer/sharing", []string{"consumer", "sinks", "aggregate", "events"}, nil},    // tests alone
	{"consumer/timeline", []string{"consumer", "sinks", "aggregate", "events"}, nil},   // tests alone
	{"query", []string{"sinks", "aggregate", "events", "events/schema"}, map[string]string{
		"github.com/danielgtaylor/huma/v2": "OpenAPI and problem+json from Go types",
		"github.com/google/uuid":           "runs are known by their keys",
		"github.com/rs/cors":               "what browsers ask before pages of other origins may",
		"go.opentelemetry.io/otel":         "requests are measured and have spans; the trace that a caller's events belong to",
		"golang.org/x/time":                "how often a key may ask",
	}},
	{"cmd/runmetrics", []string{"query", "consumer", "consumer/replay", "sinks", "sinks/postgres", "sinks/sqlite",
		"sinks/dataverse", "sinks/dataverse/emulator", "aggregate", "events", "events/publish", "events/schema"}, map[string]string{
		"github.com/caarlos0/env/v11":          "the environment as a struct",
		"github.com/joho/godotenv":             "--env-file",
		"github.com/spf13/cobra":               "subcommands, their help and completion",
		"github.com/nats-io/nats.go":           "it wires connections",
		"github.com/nats-io/nats-server/v2":    "the embedded broker",
		"github.com/nats-io/nkeys":             "NATS_NKEY is a seed",
		"github.com/schollz/progressbar/v3":    "progress of publish on a terminal",
		"github.com/rivo/uniseg":               "how wide a terminal shows text",
		"golang.org/x/term":                    "is stderr a terminal",
		"golang.org/x/sync":                    "one group for all that runs",
		"github.com/google/uuid":               "ids of sample and generated events",
		"go.opentelemetry.io/otel":             "metrics, spans and log records, with an exporter for each who reads them",
		"github.com/prometheus/client_golang":  "metrics of Go and of the process; the handler of /metrics",
		"github.com/prometheus/otlptranslator": "which names Prometheus gets",
		"go.opentelemetry.io/contrib":          "log records and what the library of Prometheus measures, as OpenTelemetry has them",
		"github.com/go-logr/logr":              "what OpenTelemetry's own code has to say",
		"golang.org/x/time":                    "how often the log is told of the same",
	}},
}

// testModules may be used by the tests of any package.
var testModules = map[string]string{
	"pgregory.net/rapid":                       "random histories with shrinking",
	"go.uber.org/goleak":                       "goroutines that outlive their test",
	"github.com/nats-io/nats.go":               "tests publish as agents do",
	"github.com/nats-io/nats-server/v2":        "tests run a real broker",
	"github.com/jackc/pgx/v5":                  "tests look into a real Postgres",
	"modernc.org/sqlite":                       "tests look into a real file",
	"github.com/go-json-experiment/json":       "tests read what was written",
	"github.com/google/uuid":                   "tests make keys",
	"golang.org/x/sync":                        "groups of goroutines with one error",
	"golang.org/x/tools":                       "scenarios are txtar files",
	"github.com/prometheus/client_model":       "what was read of /metrics",
	"github.com/prometheus/common":             "tests read /metrics",
	"github.com/chromedp/chromedp":             "the panel is looked at in a browser",
	"github.com/chromedp/cdproto":              "what the browser says of it",
	"github.com/santhosh-tekuri/jsonschema/v6": "schemas are compared with the decoder",
	"go.opentelemetry.io/otel":                 "spans are looked at",
	"go.opentelemetry.io/proto/otlp":           "what an exporter sent is read",
	"google.golang.org/protobuf":               "what an exporter sent is read",
	"go.yaml.in/yaml/v3":                       "rules and manifests are read",
}

// testPackages are of this module and may be used by the tests of any package.
var testPackages = []string{module + "/sinks/sinktest", module + "/aggregate/aggregatetest"}

// listedPackage is what go list says of a package.
type listedPackage struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

func TestImportsPointDown(t *testing.T) {
	t.Parallel()
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		rule, found := ruleOf(name)
		if !found {
			t.Errorf("%s: no rule says what it may import; add one", name)
			continue
		}
		for _, imported := range p.Imports {
			if problem := rule.judge(imported, rule.modules); problem != "" {
				t.Errorf("%s → %s: %s", name, imported, problem)
			}
			if imported == "testing" && name != "sinks/sinktest" {
				t.Errorf("%s → testing: only sinks/sinktest is made of tests", name)
			}
		}
		for allowed := range rule.modules {
			if !slices.ContainsFunc(p.Imports, func(imported string) bool { return within(imported, allowed) }) {
				t.Errorf("%s does not use %s any more; take it out of the rule", name, allowed)
			}
		}
		allowed := maps.Clone(testModules)
		maps.Copy(allowed, rule.modules)
		for _, imported := range slices.Concat(p.TestImports, p.XTestImports) {
			if imported == p.ImportPath || slices.Contains(testPackages, imported) || storeForTests(name, imported) {
				continue
			}
			if problem := rule.judge(imported, allowed); problem != "" {
				t.Errorf("tests of %s → %s: %s", name, imported, problem)
			}
		}
	}
}

// storeForTests lets tests of what stands on a store use a real one, and the emulator where Dataverse is meant.
func storeForTests(name, imported string) bool {
	if imported == module+"/sinks/dataverse/emulator" {
		return name == "sinks/dataverse"
	}
	return (strings.HasPrefix(name, "consumer") || name == "query" || name == "sinks/dataverse") &&
		(imported == module+"/sinks/sqlite" || imported == module+"/sinks/postgres")
}

func ruleOf(name string) (importRule, bool) {
	i := slices.IndexFunc(importRules, func(r importRule) bool { return r.pkg == name })
	if i < 0 {
		return importRule{}, false
	}
	return importRules[i], true
}

// judge says what is wrong with an import, or nothing.
func (r importRule) judge(imported string, modules map[string]string) string {
	if inside, own := strings.CutPrefix(imported, module+"/"); own {
		if slices.Contains(r.project, inside) {
			return ""
		}
		return "imports point down, to: " + strings.Join(r.project, " ")
	}
	first, _, _ := strings.Cut(imported, "/")
	if !strings.Contains(first, ".") {
		return "" // the standard library
	}
	for allowed := range modules {
		if within(imported, allowed) {
			return ""
		}
	}
	return "this dependency has no reason here"
}

// within tells whether a package is of a module.
func within(pkg, module string) bool { return pkg == module || strings.HasPrefix(pkg, module+"/") }

func TestImportRulesRefuseSiblingsAndStrangers(t *testing.T) {
	t.Parallel()
	rule, _ := ruleOf("consumer")
	for imported, allowed := range map[string]bool{
		module + "/sinks":                  true,
		module + "/query":                  false,
		module + "/sinks/postgres":         false,
		module + "/cmd/runmetrics":         false,
		"github.com/nats-io/nats.go":       true,
		"github.com/nats-io/nats.gopher":   false,
		"github.com/nats-io/nats.go/jetst": true,
		"github.com/jackc/pgx/v5":          false,
		"encoding/json":                    true,
	} {
		if problem := rule.judge(imported, rule.modules); (problem == "") != allowed {
			t.Errorf("consumer → %s: %q, want allowed %t", imported, problem, allowed)
		}
	}
}

func listPackages(t *testing.T) []listedPackage {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", module+"/...")
	var faults bytes.Buffer
	list.Stderr = &faults
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, faults.String())
	}
	var packages []listedPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listedPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
	if len(packages) < 5 {
		t.Fatalf("go list found %d packages", len(packages))
	}
	return packages
}
