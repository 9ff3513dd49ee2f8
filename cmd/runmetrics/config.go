package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/joho/godotenv"
)

// Config is what the environment says, checked as a whole before anything is started. The tags are the one list of
// variables: env and envDefault are read by the parser, want completes the sentence "… is not …", help is printed by
// `runmetrics --help`.
type Config struct {
	NATSURL    Secret     `env:"NATS_URL" help:"NATS servers; unset: run and dev embed one, the others use NATS_LISTEN"`
	NATSCreds  string     `env:"NATS_CREDS" help:"credentials file of the NATS user"`
	NATSNKey   Secret     `env:"NATS_NKEY" help:"nkey seed of the NATS user"`
	NATSCA     string     `env:"NATS_CA" help:"file of certificate authorities for NATS over TLS"`
	NATSCert   string     `env:"NATS_CERT" help:"client certificate file for NATS, with NATS_KEY"`
	NATSKey    string     `env:"NATS_KEY" help:"client key file for NATS, with NATS_CERT"`
	NATSListen string     `env:"NATS_LISTEN" envDefault:"127.0.0.1:4222" help:"where the embedded NATS server listens"`
	NATSSync   *SyncEvery `env:"NATS_SYNC" want:"always, or a time such as 2s" help:"when the embedded server syncs to disk; unset: always, 2m in dev"`

	Streams    []string `env:"STREAMS" envDefault:"RUN_EVENTS" help:"streams to read, comma separated"`
	Deployment string   `env:"DEPLOYMENT" envDefault:"main" help:"name of this deployment, part of its consumers' names"`

	DatabaseURL       Secret `env:"DATABASE_URL" help:"postgres://user:password@host/database; unset: SQLite in DATA_DIR"`
	DatabaseURLDirect Secret `env:"DATABASE_URL_DIRECT" help:"the same without a pooler, for setup; unset: DATABASE_URL"`
	DataDir           string `env:"DATA_DIR" envDefault:"./data" help:"directory of everything embedded"`

	HTTPAddr        string        `env:"HTTP_ADDR" envDefault:"127.0.0.1:8080" help:"where the API listens"`
	HTTPCert        string        `env:"HTTP_CERT" help:"certificate file of the API, with HTTP_KEY; unset: plain HTTP"`
	HTTPKey         string        `env:"HTTP_KEY" help:"key file of the API, with HTTP_CERT; both are read again when they change"`
	APIKeysFile     string        `env:"API_KEYS_FILE" help:"file of API keys, made by runmetrics keys new; read again when it changes"`
	APIRateLimit    int           `env:"API_RATE_LIMIT" envDefault:"50" want:"a number such as 50" help:"requests a second for each API key, twice as many at once; 0: any number"`
	CORSOrigins     []string      `env:"CORS_ORIGINS" help:"origins of pages that may use the API with a key, comma separated"`
	RunIdleTimeout  time.Duration `env:"RUN_IDLE_TIMEOUT" envDefault:"30m" want:"a time such as 30m" help:"how long a running run may be silent before it is stalled"`
	DeadLetterLimit int64         `env:"DEADLETTER_LIMIT" envDefault:"100000" want:"a number such as 100000" help:"dead letters kept for each stream and reason"`

	LogLevel  slog.Level `env:"LOG_LEVEL" envDefault:"info" want:"debug, info, warn or error" help:"debug, info, warn or error"`
	LogFormat string     `env:"LOG_FORMAT" envDefault:"text" help:"text or json, on stderr"`

	OTLPEndpoint        string `env:"OTEL_EXPORTER_OTLP_ENDPOINT" help:"collector of metrics, spans and logs, http://collector:4318; unset: none; also other OTEL_*"`
	OTLPMetricsEndpoint string `env:"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT" help:"another one of metrics, with its path, /v1/metrics"`
	OTLPTracesEndpoint  string `env:"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" help:"another one of spans, with its path, /v1/traces"`
	OTLPLogsEndpoint    string `env:"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT" help:"another one of log records, with its path, /v1/logs"`
	OTelMetrics         string `env:"OTEL_METRICS_EXPORTER" envDefault:"otlp" help:"otlp or none; /metrics is there in any case"`
	OTelTraces          string `env:"OTEL_TRACES_EXPORTER" envDefault:"otlp" help:"otlp or none"`
	OTelLogs            string `env:"OTEL_LOGS_EXPORTER" envDefault:"otlp" help:"otlp or none; the log on stderr is there in any case"`
	OTelDisabled        bool   `env:"OTEL_SDK_DISABLED" want:"true or false" help:"true: no collector gets anything"`

	UseDataverse          *bool         `env:"USE_DATAVERSE" want:"true or false" help:"keep a copy in Microsoft Dataverse; unset: false, true in dev, which has an emulator"`
	DataverseURL          string        `env:"DATAVERSE_URL" help:"the organization, https://contoso.crm.dynamics.com; unset: NEXT_PUBLIC_DATAVERSE_URL"`
	DataverseURLStudio    string        `env:"NEXT_PUBLIC_DATAVERSE_URL" help:"the same under Studio's name for it"`
	DataverseTenantID     string        `env:"DATAVERSE_TENANT_ID" help:"id or domain of the Microsoft Entra tenant"`
	DataverseClientID     string        `env:"DATAVERSE_CLIENT_ID" help:"id of the app registration that is an application user there"`
	DataverseClientSecret Secret        `env:"DATAVERSE_CLIENT_SECRET" help:"its client secret"`
	DataverseAuthority    string        `env:"DATAVERSE_AUTHORITY" help:"who issues tokens; unset: the public cloud's authority"`
	DataverseTable        string        `env:"DATAVERSE_TABLE" envDefault:"apex_campaignmetric" help:"logical name of the table"`
	DataverseMinInterval  time.Duration `env:"DATAVERSE_MIN_INTERVAL" envDefault:"1s" want:"a time such as 1s" help:"how often the row of a run is sent at the most, first and closing records aside"`
	DataverseDailyBudget  int64         `env:"DATAVERSE_DAILY_BUDGET" envDefault:"0" want:"a number such as 25000" help:"rows sent on a UTC day at the most, the last tenth for closing records; 0: any number"`

	otel map[string]string // all variables of OpenTelemetry, for its own code to read
}

// SyncEvery is how often the embedded server syncs what it wrote; SyncAlways is every write.
type SyncEvery time.Duration

// SyncAlways syncs each message before it is acknowledged.
const SyncAlways SyncEvery = 0

// UnmarshalText reads "always" or a positive duration.
func (s *SyncEvery) UnmarshalText(b []byte) error {
	if string(b) == "always" {
		*s = SyncAlways
		return nil
	}
	d, err := time.ParseDuration(string(b))
	if err != nil || d <= 0 {
		return errors.New("must be always or a positive duration")
	}
	*s = SyncEvery(d)
	return nil
}

// sync is what NATS_SYNC says, or absent.
func (c *Config) sync(absent SyncEvery) SyncEvery {
	if c.NATSSync == nil {
		return absent
	}
	return *c.NATSSync
}

// natsURL is where commands that embed nothing connect.
func (c *Config) natsURL() Secret {
	if c.NATSURL.IsSet() {
		return c.NATSURL
	}
	return NewSecret("nats://" + c.NATSListen)
}

// copied tells whether Dataverse gets a copy.
func (c *Config) copied() bool { return c.UseDataverse != nil && *c.UseDataverse }

// directURL is where migrations connect.
func (c *Config) directURL() Secret {
	if c.DatabaseURLDirect.IsSet() {
		return c.DatabaseURLDirect
	}
	return c.DatabaseURL
}

// check looks for faults of one kind.
type check func(cfg *Config, f *faults)

// loadConfig reads the environment, and envFile below it where one is named. All faults are reported at once, as a
// *configError; more are the checks of the command that asks.
func loadConfig(environ map[string]string, envFile string, more ...check) (*Config, error) {
	f := new(faults)
	vars := f.merge(environ, envFile)
	f.readSecretFiles(vars)
	cfg := new(Config)
	f.parse(cfg, vars)
	if dir, err := filepath.Abs(cfg.DataDir); err == nil {
		cfg.DataDir = dir // messages about it are read elsewhere
	}
	if cfg.DataverseURL == "" {
		cfg.DataverseURL = cfg.DataverseURLStudio
	}
	cfg.otel = make(map[string]string)
	for name, value := range vars {
		if strings.HasPrefix(name, otelPrefix) {
			cfg.otel[name] = value
		}
	}
	for _, check := range append([]check{checkNATS, checkNames, checkStore, checkAPI, checkTelemetry, checkDataverse}, more...) {
		check(cfg, f)
	}
	if len(f.list) > 0 {
		return nil, &configError{faults: f.list}
	}
	return cfg, nil
}

// merge lays the environment over the file. A variable that is set but empty counts as unset, and whoever sets X decides
// about X_FILE too.
func (f *faults) merge(environ map[string]string, envFile string) map[string]string {
	vars := maps.Clone(environ)
	maps.DeleteFunc(vars, func(_, value string) bool { return value == "" })
	if envFile == "" {
		return vars
	}
	lower, err := godotenv.Read(envFile)
	if err != nil {
		// The parser's error quotes the file, secrets and all.
		f.add("--env-file", envFile+" "+fileProblem(err, "must hold lines of NAME=value"))
		return vars
	}
	for name, value := range lower {
		twin, isFile := strings.CutSuffix(name, "_FILE")
		if !isFile {
			twin = name + "_FILE"
		}
		if value != "" && environ[name] == "" && environ[twin] == "" {
			vars[name] = value
		}
	}
	return vars
}

// readSecretFiles replaces each X_FILE of a secret X by X with the file's content.
func (f *faults) readSecretFiles(vars map[string]string) {
	for field := range fields() {
		name := field.Tag.Get("env")
		path, given := vars[name+"_FILE"]
		if field.Type != reflect.TypeFor[Secret]() || !given {
			continue
		}
		if vars[name] != "" {
			f.add(name, "is set, and so is "+name+"_FILE; keep one of them")
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			f.add(name+"_FILE", fileProblem(err, "cannot be read"))
			continue
		}
		if vars[name] = strings.TrimRight(string(text), "\r\n"); vars[name] == "" {
			f.add(name+"_FILE", "names an empty file; write the secret into it")
		}
	}
}

// parse fills cfg. The parser names struct fields and quotes values; here variables are named, and no secret has a type
// that can fail.
func (f *faults) parse(cfg *Config, vars map[string]string) {
	var all env.AggregateError
	if !errors.As(env.ParseWithOptions(cfg, env.Options{Environment: vars}), &all) {
		return
	}
	for _, err := range all.Errors {
		var bad env.ParseError
		if !errors.As(err, &bad) {
			f.add("environment", err.Error())
			continue
		}
		field, _ := reflect.TypeFor[Config]().FieldByName(bad.Name)
		name := field.Tag.Get("env")
		f.add(name, fmt.Sprintf("%q is not %s", vars[name], field.Tag.Get("want")))
	}
}

// fields walks the variables in the order of Config.
func fields() func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range reflect.TypeFor[Config]().NumField() {
			field := reflect.TypeFor[Config]().Field(i)
			if field.IsExported() && !yield(field) {
				return
			}
		}
	}
}

// environmentHelp is the table of variables that --help shows.
func environmentHelp() string {
	var b strings.Builder
	for field := range fields() {
		name := field.Tag.Get("env")
		if field.Type == reflect.TypeFor[Secret]() {
			name += "[_FILE]"
		}
		fmt.Fprintf(&b, "  %-34s %s", name, field.Tag.Get("help"))
		if preset := field.Tag.Get("envDefault"); preset != "" {
			fmt.Fprintf(&b, " (%s)", preset)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// fileProblem says why a file is of no use. Errors of the file system carry a path and a reason; any other may quote the
// content, so otherwise is said instead.
func fileProblem(err error, otherwise string) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return fmt.Sprintf("cannot be read: %v; name a readable file", path.Err)
	}
	return otherwise
}
