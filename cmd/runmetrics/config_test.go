package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// faultsOf is which variables a configuration error names.
func faultsOf(t *testing.T, environ map[string]string, envFile string, more ...check) []string {
	t.Helper()
	_, err := loadConfig(environ, envFile, more...)
	if err == nil {
		return nil
	}
	var names []string
	for _, line := range strings.Split(err.Error(), "\n")[1:] {
		name, _, _ := strings.Cut(strings.TrimSpace(line), ":")
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConfigHasDefaultsForEverything(t *testing.T) {
	t.Parallel()
	cfg, err := loadConfig(map[string]string{"STREAMS": "", "RUN_IDLE_TIMEOUT": ""}, "")
	if err != nil {
		t.Fatal(err)
	}
	data, _ := filepath.Abs("data")
	if cfg.DataDir != data || cfg.HTTPAddr != "127.0.0.1:8080" || cfg.NATSListen != "127.0.0.1:4222" ||
		!slices.Equal(cfg.Streams, []string{"RUN_EVENTS"}) || cfg.Deployment != "main" ||
		cfg.RunIdleTimeout != 30*time.Minute || cfg.DeadLetterLimit != 100_000 || cfg.sync(SyncAlways) != SyncAlways {
		t.Errorf("%+v", cfg)
	}
	if got := cfg.natsURL().Reveal(); got != "nats://127.0.0.1:4222" {
		t.Errorf("commands connect to %s", got)
	}
}

func TestConfigReportsAllFaultsAtOnceWithoutSecrets(t *testing.T) {
	t.Parallel()
	environ := map[string]string{
		"NATS_URL":            "nats://user:hunter2@nats:port",
		"NATS_NKEY":           "SUhunter2",
		"NATS_CREDS":          "/nowhere/hunter2less.creds",
		"NATS_CERT":           writeFile(t, "x"),
		"NATS_LISTEN":         "4222",
		"NATS_SYNC":           "sometimes",
		"STREAMS":             "RUN_EVENTS,RUN EVENTS",
		"DEPLOYMENT":          "a.b",
		"DATABASE_URL":        "postgres://user:hunter2/3@host/db",
		"DATABASE_URL_DIRECT": "mysql://user:hunter2@host/db",
		"HTTP_ADDR":           "127.0.0.1:http",
		"API_KEYS_FILE":       "/nowhere/keys",
		"API_RATE_LIMIT":      "-1",
		"CORS_ORIGINS":        "https://studio.example.com,*",
		"HTTP_CERT":           writeFile(t, "x"),
		"RUN_IDLE_TIMEOUT":    "soon",
		"DEADLETTER_LIMIT":    "0",
		"LOG_LEVEL":           "loud",
		"LOG_FORMAT":          "xml",

		"OTEL_EXPORTER_OTLP_ENDPOINT":        "https://user:hunter2@collector",
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "collector:4318",
		"OTEL_EXPORTER_OTLP_PROTOCOL":        "grpc",
		"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "thrift",
		"OTEL_TRACES_EXPORTER":               "zipkin",
		"OTEL_SDK_DISABLED":                  "perhaps",
		"USE_DATAVERSE":                      "yes please",
		"DATAVERSE_URL":                      "https://user:hunter2@contoso.crm.dynamics.com",
		"DATAVERSE_AUTHORITY":                "http://login.example.com",
		"DATAVERSE_TABLE":                    "Campaign Metrics",
		"DATAVERSE_MIN_INTERVAL":             "-1s",
		"DATAVERSE_DAILY_BUDGET":             "-1",
	}
	got := faultsOf(t, environ, "")
	want := []string{"API_KEYS_FILE", "API_RATE_LIMIT", "CORS_ORIGINS", "DATABASE_URL", "DATABASE_URL_DIRECT", "DATAVERSE_AUTHORITY", "DATAVERSE_DAILY_BUDGET",
		"DATAVERSE_MIN_INTERVAL", "DATAVERSE_TABLE", "DATAVERSE_URL", "DEADLETTER_LIMIT", "DEPLOYMENT", "HTTP_ADDR", "HTTP_CERT", "LOG_FORMAT", "LOG_LEVEL", "NATS_CERT", "NATS_CREDS", "NATS_LISTEN", "NATS_SYNC", "NATS_URL",
		"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
		"OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "RUN_IDLE_TIMEOUT", "STREAMS", "USE_DATAVERSE"}
	if !slices.Equal(got, want) {
		t.Errorf("faults of\n%v, want\n%v", got, want)
	}
	r := call(t, environ, "", "run")
	r.want(t, exitUsage)
	if strings.Contains(r.stdout+r.stderr, "hunter2@") || strings.Contains(r.stderr, "hunter2/") || strings.Contains(r.stderr, "SUhunter2") {
		t.Errorf("a secret is shown:\n%s", r.stderr)
	}
}

func TestConfigReadsSecretsFromFilesWithoutTheirLineEnd(t *testing.T) {
	t.Parallel()
	const url = "postgres://user:p%20w@host/db"
	cfg, err := loadConfig(map[string]string{"DATABASE_URL_FILE": writeFile(t, url+"\r\n"), "DATABASE_URL": "",
		"NATS_URL_FILE": writeFile(t, "nats://user:pw@nats:4222\n")}, "")
	if err != nil {
		t.Fatal(err)
	}
	if cfg.DatabaseURL.Reveal() != url || cfg.NATSURL.Reveal() != "nats://user:pw@nats:4222" {
		t.Errorf("read %q and %q", cfg.DatabaseURL.Reveal(), cfg.NATSURL.Reveal())
	}
	if cfg.directURL().Reveal() != url {
		t.Error("migrations go elsewhere")
	}
}

func TestConfigRefusesSecretFilesThatSayTooMuchOrNothing(t *testing.T) {
	t.Parallel()
	for want, environ := range map[string]map[string]string{
		"DATABASE_URL":      {"DATABASE_URL": "postgres://host/db", "DATABASE_URL_FILE": writeFile(t, "postgres://host/db")},
		"NATS_URL_FILE":     {"NATS_URL_FILE": "/nowhere"},
		"NATS_NKEY_FILE":    {"NATS_NKEY_FILE": writeFile(t, "\n")},
		"DATABASE_URL_FILE": {"DATABASE_URL_FILE": t.TempDir()},
	} {
		if got := faultsOf(t, environ, ""); !slices.Equal(got, []string{want}) {
			t.Errorf("faults of %v, want %s", got, want)
		}
	}
}

func TestConfigTakesTheEnvironmentBeforeTheFile(t *testing.T) {
	t.Parallel()
	file := writeFile(t, `# a comment
HTTP_ADDR=127.0.0.1:9000
export DEPLOYMENT="staging"
STREAMS=A
DATABASE_URL=postgres://from/file
LOG_FORMAT=json
`)
	cfg, err := loadConfig(map[string]string{
		"DEPLOYMENT":        "production",
		"DATABASE_URL_FILE": writeFile(t, "postgres://from/environment"),
		"LOG_FORMAT":        "",
	}, file)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.HTTPAddr != "127.0.0.1:9000" || cfg.Deployment != "production" || cfg.Streams[0] != "A" || cfg.LogFormat != "json" ||
		cfg.DatabaseURL.Reveal() != "postgres://from/environment" {
		t.Errorf("%+v, database %s", cfg, cfg.DatabaseURL.Reveal())
	}
}

func TestConfigNamesAnEnvFileThatIsNoneWithoutQuotingIt(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"/nowhere", writeFile(t, "PASSWORD hunter2\n=hunter2\n")} {
		r := call(t, nil, "", "--env-file", file, "publish", "-")
		r.want(t, exitUsage)
		if !strings.Contains(r.stderr, "--env-file: "+file) || strings.Contains(r.stderr, "hunter2") {
			t.Errorf("says %q", r.stderr)
		}
	}
}

// TestConfigWantsAllOfDataverse of a service that keeps a copy there, and nothing of others.
func TestConfigWantsAllOfDataverse(t *testing.T) {
	t.Parallel()
	whole := map[string]string{"USE_DATAVERSE": "true", "NEXT_PUBLIC_DATAVERSE_URL": "https://contoso.crm.dynamics.com/",
		"DATAVERSE_TENANT_ID": "t", "DATAVERSE_CLIENT_ID": "c", "DATAVERSE_CLIENT_SECRET_FILE": writeFile(t, "s\n")}
	for _, c := range []struct {
		environ map[string]string
		how     serving
		want    []string
	}{
		{map[string]string{"USE_DATAVERSE": "true"}, serving{},
			[]string{"DATAVERSE_CLIENT_ID", "DATAVERSE_CLIENT_SECRET", "DATAVERSE_TENANT_ID", "DATAVERSE_URL"}},
		{map[string]string{"USE_DATAVERSE": "true"}, serving{emulate: true}, nil},
		{with(whole, map[string]string{"DATAVERSE_CLIENT_ID": ""}), serving{}, []string{"DATAVERSE_CLIENT_ID"}},
		{whole, serving{}, nil},
		{map[string]string{"USE_DATAVERSE": "false", "DATAVERSE_URL": "http://127.0.0.1:8900"}, serving{}, nil},
		{map[string]string{"DATAVERSE_URL": "https://contoso.crm.dynamics.com/api/data"}, serving{}, []string{"DATAVERSE_URL"}},
		{map[string]string{"NEXT_PUBLIC_DATAVERSE_URL": "http://contoso.crm.dynamics.com"}, serving{}, []string{"NEXT_PUBLIC_DATAVERSE_URL"}},
		{with(whole, map[string]string{"DATAVERSE_TENANT_ID": "contoso/../x"}), serving{}, []string{"DATAVERSE_TENANT_ID"}},
	} {
		if got := faultsOf(t, c.environ, "", c.how.check); !slices.Equal(got, c.want) {
			t.Errorf("%v: faults of %v, want %v", c.environ, got, c.want)
		}
	}
	r := call(t, map[string]string{"USE_DATAVERSE": "true"}, "", "run")
	r.want(t, exitUsage)
	if !strings.Contains(r.stderr, "DATAVERSE_TENANT_ID: is missing") {
		t.Errorf("says %q", r.stderr)
	}
}

func TestConfigGuardsListenersThatOthersReach(t *testing.T) {
	t.Parallel()
	keys := writeFile(t, strings.TrimSpace(call(t, nil, "", "keys", "new", "studio").stdout))
	for _, c := range []struct {
		environ  map[string]string
		insecure bool
		want     []string
	}{
		{map[string]string{"HTTP_ADDR": ":8080", "NATS_LISTEN": "0.0.0.0:4222"}, false, []string{"HTTP_ADDR", "NATS_LISTEN"}},
		{map[string]string{"HTTP_ADDR": ":8080", "NATS_LISTEN": "0.0.0.0:4222"}, true, nil},
		{map[string]string{"HTTP_ADDR": ":8080", "API_KEYS_FILE": keys}, false, nil},
		{map[string]string{"HTTP_ADDR": "[::1]:8080", "NATS_LISTEN": "localhost:4222"}, false, nil},
		{map[string]string{"NATS_LISTEN": "0.0.0.0:4222", "NATS_URL": "nats://elsewhere:4222"}, false, nil},
		{map[string]string{"STREAMS": "A_0,A_1"}, false, []string{"STREAMS"}},
		{map[string]string{"STREAMS": "A_0, A_1", "NATS_URL": "nats://elsewhere:4222"}, false, nil},
		{map[string]string{"API_KEYS_FILE": writeFile(t, "hunter2")}, false, []string{"API_KEYS_FILE"}},
		{map[string]string{"CORS_ORIGINS": "https://studio.example.com"}, false, []string{"CORS_ORIGINS"}},
		{map[string]string{"CORS_ORIGINS": "https://studio.example.com, http://localhost:3000", "API_KEYS_FILE": keys}, false, nil},
		{map[string]string{"CORS_ORIGINS": "http://studio.example.com", "API_KEYS_FILE": keys}, false, []string{"CORS_ORIGINS"}},
		{map[string]string{"HTTP_CERT": keys, "HTTP_KEY": keys}, false, []string{"HTTP_CERT"}},
	} {
		how := serving{insecure: c.insecure}
		if got := faultsOf(t, c.environ, "", how.check); !slices.Equal(got, c.want) {
			t.Errorf("%v insecure %t: faults of %v, want %v", c.environ, c.insecure, got, c.want)
		}
	}
}
