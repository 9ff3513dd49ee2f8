package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
)

// otelPrefix begins the variables that OpenTelemetry defines, otlpPrefix those of the exporters that are used here.
const (
	otelPrefix = "OTEL_"
	otlpPrefix = "OTEL_EXPORTER_OTLP_"
)

// otlpSignal is one of the kinds of telemetry, as paths and variables of OTLP name them.
type otlpSignal string

// The signals.
const (
	signalMetrics otlpSignal = "metrics"
	signalTraces  otlpSignal = "traces"
	signalLogs    otlpSignal = "logs"
)

var signals = []otlpSignal{signalMetrics, signalTraces, signalLogs}

// otlpURL is where a signal is sent. It is empty unless a collector is named: there is no default address.
func (c *Config) otlpURL(of otlpSignal) string {
	exporter, named := c.OTelTraces, c.OTLPTracesEndpoint
	switch of {
	case signalMetrics:
		exporter, named = c.OTelMetrics, c.OTLPMetricsEndpoint
	case signalLogs:
		exporter, named = c.OTelLogs, c.OTLPLogsEndpoint
	}
	switch {
	case c.OTelDisabled || exporter == "none":
		return ""
	case named != "":
		return named
	case c.OTLPEndpoint != "":
		return strings.TrimSuffix(c.OTLPEndpoint, "/") + "/v1/" + string(of)
	}
	return ""
}

// sendsTelemetry tells whether a collector gets anything.
func (c *Config) sendsTelemetry() bool {
	return slices.ContainsFunc(signals, func(of otlpSignal) bool { return c.otlpURL(of) != "" })
}

// ofAll are the names of a variable of the exporters: for all signals, and for each.
func ofAll(name string) []string {
	names := []string{otlpPrefix + name}
	for _, of := range signals {
		names = append(names, otlpName(of, name))
	}
	return names
}

func otlpName(of otlpSignal, name string) string {
	return otlpPrefix + strings.ToUpper(string(of)) + "_" + name
}

// otelRule says what variables may hold. OpenTelemetry's own code goes on with a default where it cannot read one.
type otelRule struct {
	names []string
	want  string // completes "… is not …"
	holds func(value string) bool
}

var otelRules = []otelRule{
	{[]string{"OTEL_METRICS_EXPORTER"}, "otlp or none; /metrics is there in any case", oneOf("otlp", "none")},
	{[]string{"OTEL_TRACES_EXPORTER", "OTEL_LOGS_EXPORTER"}, "otlp or none", oneOf("otlp", "none")},
	{[]string{otlpPrefix + "PROTOCOL", otlpName(signalTraces, "PROTOCOL")},
		"http/protobuf or http/json; collectors take these at port 4318, as a rule", oneOf("http/protobuf", "http/json")},
	{[]string{otlpName(signalMetrics, "PROTOCOL"), otlpName(signalLogs, "PROTOCOL")},
		"http/protobuf, which collectors take at port 4318, as a rule", oneOf("http/protobuf")},
	{ofAll("COMPRESSION"), "gzip or none", oneOf("gzip", "none")},
	{ofAll("INSECURE"), "true or false; what decides is http:// or https://", oneOf("true", "false")},
	{ofAll("TIMEOUT"), "a number of milliseconds such as 10000", atLeast(1)},
	{[]string{otlpPrefix + "METRICS_TEMPORALITY_PREFERENCE"}, "cumulative, delta or lowmemory", oneOf("cumulative", "delta", "lowmemory")},
	{[]string{otlpPrefix + "METRICS_DEFAULT_HISTOGRAM_AGGREGATION"},
		"explicit_bucket_histogram or base2_exponential_bucket_histogram",
		oneOf("explicit_bucket_histogram", "base2_exponential_bucket_histogram")},
	{[]string{"OTEL_METRIC_EXPORT_INTERVAL", "OTEL_METRIC_EXPORT_TIMEOUT", "OTEL_BSP_SCHEDULE_DELAY", "OTEL_BSP_EXPORT_TIMEOUT",
		"OTEL_BLRP_SCHEDULE_DELAY", "OTEL_BLRP_EXPORT_TIMEOUT"}, "a number of milliseconds such as 5000", atLeast(1)},
	{[]string{"OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "OTEL_BLRP_MAX_QUEUE_SIZE", "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE"},
		"a number such as 512", atLeast(1)},
	{[]string{"OTEL_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
		"OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_SPAN_EVENT_COUNT_LIMIT", "OTEL_SPAN_LINK_COUNT_LIMIT",
		"OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT",
		"OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT"}, "a number such as 128, or -1 for no limit", atLeast(-1)},
	{[]string{"OTEL_TRACES_SAMPLER"}, "always_on, always_off, traceidratio, or one of these after parentbased_",
		oneOf("always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio")},
	{[]string{"OTEL_TRACES_SAMPLER_ARG"}, "a part of all traces such as 0.1", func(value string) bool {
		part, err := strconv.ParseFloat(value, 64)
		return err == nil && part >= 0 && part <= 1
	}},
	{[]string{"OTEL_METRICS_EXEMPLAR_FILTER"}, "always_on, always_off or trace_based", oneOf("always_on", "always_off", "trace_based")},
	{[]string{"OTEL_RESOURCE_ATTRIBUTES"}, "a list such as deployment.environment.name=staging,team=studio", pairs},
}

func oneOf(values ...string) func(string) bool {
	return func(value string) bool { return slices.Contains(values, strings.ToLower(value)) }
}

func atLeast(least int) func(string) bool {
	return func(value string) bool {
		n, err := strconv.Atoi(value)
		return err == nil && n >= least
	}
}

// pairs tells whether a value is a list of name=value, of which values may be percent-encoded.
func pairs(value string) bool {
	for pair := range strings.SplitSeq(value, ",") {
		name, value, found := strings.Cut(pair, "=")
		if _, err := url.PathUnescape(value); err != nil || !found || strings.TrimSpace(name) == "" {
			return false
		}
	}
	return true
}

// checkTelemetry finds what is wrong with the variables of OpenTelemetry. Headers are passwords, as a rule, and not shown.
func checkTelemetry(cfg *Config, f *faults) {
	for _, rule := range otelRules {
		for _, name := range rule.names {
			if value := strings.TrimSpace(cfg.otel[name]); value != "" && !rule.holds(value) {
				f.add(name, fmt.Sprintf("%q is not %s", value, rule.want))
			}
		}
	}
	for _, name := range ofAll("HEADERS") {
		if value := cfg.otel[name]; value != "" && !pairs(value) {
			f.add(name, "is not a list such as api-key=…,tenant=…, with values percent-encoded")
		}
	}
	for _, kind := range []string{"BSP", "BLRP"} {
		queue, batch := "OTEL_"+kind+"_MAX_QUEUE_SIZE", "OTEL_"+kind+"_MAX_EXPORT_BATCH_SIZE"
		if n, m := otelNumber(cfg, queue, 2048), otelNumber(cfg, batch, 512); cfg.otel[batch] != "" && m > n {
			f.add(batch, fmt.Sprintf("%d is more than %s, which is %d", m, queue, n))
		}
	}
	for _, name := range ofAll("ENDPOINT") {
		checkEndpoint(cfg.otel[name], name, f)
	}
	checkOTLPFiles(cfg, f)
}

func otelNumber(cfg *Config, name string, preset int) int {
	if n, err := strconv.Atoi(cfg.otel[name]); err == nil {
		return n
	}
	return preset
}

func checkEndpoint(address, name string, f *faults) {
	u, err := url.Parse(address)
	switch {
	case address == "":
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		f.add(name, "is not the http:// or https:// URL of a collector, such as http://127.0.0.1:4318")
	case u.User != nil:
		f.add(name, "must not hold a password; OTEL_EXPORTER_OTLP_HEADERS is for what the collector wants to see")
	}
}

// checkOTLPFiles tries the files of certificates. With an http:// address an exporter refuses them.
func checkOTLPFiles(cfg *Config, f *faults) {
	plain := slices.ContainsFunc(signals, func(of otlpSignal) bool { return strings.HasPrefix(cfg.otlpURL(of), "http://") })
	named := maps.Clone(cfg.otel)
	maps.DeleteFunc(named, func(name, _ string) bool {
		return !strings.HasPrefix(name, otlpPrefix) || !strings.HasSuffix(name, "CERTIFICATE") && !strings.HasSuffix(name, "CLIENT_KEY")
	})
	for name, path := range named {
		text, err := os.ReadFile(path)
		switch twin, isKey := strings.CutSuffix(name, "KEY"); {
		case plain:
			f.add(name, "is of no use with an http:// address; name an https:// one, or leave this out")
		case err != nil:
			f.add(name, fileProblem(err, "cannot be read"))
		case isKey:
			if named[twin+"CERTIFICATE"] == "" {
				f.add(name, "needs "+twin+"CERTIFICATE")
			}
		case strings.HasSuffix(name, "CLIENT_CERTIFICATE"):
			key := strings.TrimSuffix(name, "CERTIFICATE") + "KEY"
			if _, err := tls.LoadX509KeyPair(path, named[key]); err != nil {
				f.add(name, "and "+key+" are not the files of a certificate and its key")
			}
		case !x509.NewCertPool().AppendCertsFromPEM(text):
			f.add(name, "names a file without certificates in PEM")
		}
	}
}
