package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// collectorTime is how long a collector may take to answer.
const collectorTime = 5 * time.Second

// examineTelemetry sends each signal's collector a request with nothing in it. Nothing else waits for a collector, so that
// one which is away is a warning.
func (d *doctor) examineTelemetry(ctx context.Context) {
	if !d.cfg.sendsTelemetry() {
		d.ok(areaTelemetry, "collector", "none is named")
		return
	}
	for _, of := range signals {
		if to := d.cfg.otlpURL(of); to != "" {
			d.examineCollector(ctx, of, to)
		}
	}
}

func (d *doctor) examineCollector(ctx context.Context, of otlpSignal, to string) {
	ctx, cancel := context.WithTimeout(ctx, collectorTime)
	defer cancel()
	// A message without fields is no bytes at all.
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(nil))
	if err != nil {
		d.warn(areaTelemetry, string(of), "the address of the collector is not a URL",
			"correct OTEL_EXPORTER_OTLP_ENDPOINT")
		return
	}
	request.Header.Set("Content-Type", "application/x-protobuf")
	d.addHeaders(request.Header, of)
	client := http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true,
		TLSClientConfig: d.collectorTLS(of)}}
	answer, err := client.Do(request)
	if err != nil {
		d.warn(areaTelemetry, string(of), "the collector does not answer: "+err.Error(),
			"start it, or correct OTEL_EXPORTER_OTLP_ENDPOINT: OTLP over HTTP is at port 4318, as a rule; what "+
				"cannot be sent is lost, nothing waits for it")
		return
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<20))
	finding := fmt.Sprintf("%s answers %s", to, answer.Status)
	switch {
	case answer.StatusCode < 300:
		d.ok(areaTelemetry, string(of), to+" takes them")
	case answer.StatusCode == http.StatusUnauthorized, answer.StatusCode == http.StatusForbidden:
		d.warn(areaTelemetry, string(of), finding, "set OTEL_EXPORTER_OTLP_HEADERS to what the collector wants "+
			"to see, such as api-key=…")
	case answer.StatusCode == http.StatusNotFound:
		d.warn(areaTelemetry, string(of), finding, fmt.Sprintf("give the collector a pipeline of %s, or set "+
			"OTEL_%s_EXPORTER=none",
			of, strings.ToUpper(string(of))))
	default:
		d.warn(areaTelemetry, string(of), finding, "look into the collector's log; what it refuses is lost, "+
			"nothing waits for it")
	}
}

// addHeaders sets what the exporters would send: those of the signal go before those of all.
func (d *doctor) addHeaders(header http.Header, of otlpSignal) {
	for _, name := range []string{otlpPrefix + "HEADERS", otlpName(of, "HEADERS")} {
		for pair := range strings.SplitSeq(d.cfg.otel[name], ",") {
			key, value, found := strings.Cut(pair, "=")
			if value, err := url.PathUnescape(strings.TrimSpace(value)); found && err == nil {
				header.Set(strings.TrimSpace(key), value)
			}
		}
	}
}

// collectorTLS knows the authority and the client certificate of the variables; nil is what the system has.
func (d *doctor) collectorTLS(of otlpSignal) *tls.Config {
	file := func(name string) string {
		if path := d.cfg.otel[otlpName(of, name)]; path != "" {
			return path
		}
		return d.cfg.otel[otlpPrefix+name]
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if text, err := os.ReadFile(file("CERTIFICATE")); err == nil {
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM(text)
	}
	if pair, err := tls.LoadX509KeyPair(file("CLIENT_CERTIFICATE"), file("CLIENT_KEY")); err == nil {
		config.Certificates = []tls.Certificate{pair}
	}
	return config
}
