package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// keysFile writes the lines of keys as "runmetrics keys new" makes them with arguments.
func keysFile(t *testing.T, keys ...[]string) string {
	t.Helper()
	var text strings.Builder
	for _, args := range keys {
		line, _ := newToken(t, args...)
		text.WriteString(line)
	}
	return writeFile(t, text.String())
}

// newKey follows "runmetrics keys new … >> FILE".
func newKey(t *testing.T, _ *broken, fix string) {
	t.Helper()
	for _, command := range advised(fix) {
		args, file, appended := strings.Cut(command, " >> ")
		if !appended {
			continue
		}
		line, _ := newToken(t, strings.Fields(args)[3:]...)
		f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := io.WriteString(f, line); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("no key is made by %q", fix)
}

func TestDoctorFindsWhatIsWrongWithTheAPI(t *testing.T) {
	t.Parallel()
	notInShort(t)
	well := healthy(t)
	// on is a well system with variables that are not.
	on := func(more map[string]string) map[string]string { return with(well, more) }
	day := func(days int) string { return time.Now().AddDate(0, 0, days).UTC().Format(time.DateOnly) }
	const area = "http"
	testSetups(t, []badSetup{
		{"open to everybody", func(t *testing.T) *broken {
			return &broken{on(map[string]string{"HTTP_ADDR": "0.0.0.0:0"}), func(t *testing.T, b *broken, _ string) {
				b.environ["HTTP_ADDR"] = "127.0.0.1:0"
			}}
		}, verdictFail, area, "exposure", []string{"can be reached from other machines"},
			[]string{"API_KEYS_FILE", "HTTP_ADDR=127.0.0.1:8080"}},
		{"keys in the clear", func(t *testing.T) *broken {
			keys := keysFile(t, []string{"k", "--scopes", "read,write"})
			cert, key := writeNamedCertificate(t, time.Now().AddDate(0, 0, 90), "metrics.test")
			return &broken{on(map[string]string{"HTTP_ADDR": "0.0.0.0:0", "API_KEYS_FILE": keys}),
				set(map[string]string{"HTTP_CERT": cert, "HTTP_KEY": key})}
		}, verdictWarn, area, "exposure", []string{"keys come over plain HTTP"}, []string{"set HTTP_CERT and HTTP_KEY"}},
		{"all keys expired", func(t *testing.T) *broken {
			return &broken{on(map[string]string{"API_KEYS_FILE": keysFile(t,
				[]string{"old", "--scopes", "read,write", "--expires", day(-1)})}), newKey}
		}, verdictFail, area, "keys", []string{"all 1 keys have expired"}, []string{"runmetrics keys new"}},
		{"a key that expired", func(t *testing.T) *broken {
			keys := keysFile(t, []string{"old", "--expires", day(-1)}, []string{"new", "--scopes", "read,write"})
			return &broken{on(map[string]string{"API_KEYS_FILE": keys}), renewKey(keys)}
		}, verdictWarn, area, "keys", []string{"key old expired on " + day(-1)},
			[]string{"runmetrics keys new", "take the line of old out"}},
		{"a key that expires soon", func(t *testing.T) *broken {
			keys := keysFile(t, []string{"old", "--scopes", "read,write", "--expires", day(3)})
			return &broken{on(map[string]string{"API_KEYS_FILE": keys}), renewKey(keys)}
		}, verdictWarn, area, "keys", []string{"key old expires on " + day(3)}, []string{"runmetrics keys new"}},
		{"nobody may read", func(t *testing.T) *broken {
			return &broken{on(map[string]string{"API_KEYS_FILE": keysFile(t,
				[]string{"agents", "--scopes", "write"})}), newKey}
		}, verdictWarn, area, "keys", []string{"no valid key has the scope read"}, []string{"--scopes read >>"}},
		{"no keys in the file", func(t *testing.T) *broken {
			keys := writeFile(t, "studio read,write hunter2\n")
			return &broken{on(map[string]string{"API_KEYS_FILE": keys}), func(t *testing.T, b *broken, _ string) {
				b.environ["API_KEYS_FILE"] = keysFile(t, []string{"k", "--scopes", "read,write"})
			}}
		}, verdictFail, area, "keys", []string{"hash must be 64 hexadecimal digits"}, []string{"runmetrics keys new"}},
		{"others may write keys", func(t *testing.T) *broken {
			keys := keysFile(t, []string{"k", "--scopes", "read,write"})
			mode(t, keys, 0o666)
			return &broken{on(map[string]string{"API_KEYS_FILE": keys}),
				func(t *testing.T, _ *broken, fix string) { runShell(t, fix, "chmod") }}
		}, verdictFail, area, "keys", []string{"everybody on this machine can write"}, []string{"chmod o-rwx"}},
	})
}

func TestDoctorFindsWhatIsWrongWithCertificatesAndAddresses(t *testing.T) {
	t.Parallel()
	notInShort(t)
	well := healthy(t)
	on := func(more map[string]string) map[string]string { return with(well, more) }
	const area = "http"
	testSetups(t, []badSetup{
		{"others may read the private key", func(t *testing.T) *broken {
			cert, key := writeNamedCertificate(t, time.Now().AddDate(0, 0, 90), "metrics.test")
			mode(t, key, 0o644)
			return &broken{on(map[string]string{"HTTP_CERT": cert, "HTTP_KEY": key}),
				func(t *testing.T, _ *broken, fix string) { runShell(t, fix, "chmod") }}
		}, verdictWarn, area, "certificate", []string{"others can read the private key"}, []string{"chmod o-rwx"}},
		{"a certificate that expired", certificates(on, time.Now().Add(-time.Hour)),
			verdictFail, area, "certificate", []string{"the certificate expired"}, []string{"renew it"}},
		{"a certificate that expires soon", certificates(on, time.Now().AddDate(0, 0, 3)),
			verdictWarn, area, "certificate", []string{"for metrics.test, expires at"}, []string{"renew it"}},
		{"a certificate without its key", func(t *testing.T) *broken {
			cert, key := writeNamedCertificate(t, time.Now().AddDate(0, 0, 90), "metrics.test")
			other, _ := writeNamedCertificate(t, time.Now().AddDate(0, 0, 90), "metrics.test")
			return &broken{on(map[string]string{"HTTP_CERT": other, "HTTP_KEY": key}),
				set(map[string]string{"HTTP_CERT": cert})}
		}, verdictFail, area, "certificate", []string{"are of no use"}, []string{"of one certificate and its key"}},
		{"pages over plain HTTP", func(t *testing.T) *broken {
			keys := keysFile(t, []string{"k", "--scopes", "read,write"})
			return &broken{on(map[string]string{"API_KEYS_FILE": keys, "CORS_ORIGINS": "http://studio.example.com"}),
				set(map[string]string{"CORS_ORIGINS": "https://studio.example.com"})}
		}, verdictFail, "configuration", "CORS_ORIGINS", []string{"must begin with https://"}, []string{"http:// is for pages of this machine"}},
		{"another program at HTTP_ADDR", func(t *testing.T) *broken {
			other := httptest.NewServer(http.NotFoundHandler())
			t.Cleanup(other.Close)
			return &broken{on(map[string]string{"HTTP_ADDR": other.Listener.Addr().String()}),
				set(map[string]string{"HTTP_ADDR": idleAddress(t)})}
		}, verdictFail, area, "service", []string{"another program answers"}, []string{"ss -ltnp"}},
		{"a service of another version", func(t *testing.T) *broken {
			api := startedService(t)
			old := httptest.NewServer(otherVersion(t, api))
			t.Cleanup(old.Close)
			return &broken{on(map[string]string{"HTTP_ADDR": old.Listener.Addr().String()}),
				set(map[string]string{"HTTP_ADDR": strings.TrimPrefix(api, "http://")})}
		}, verdictWarn, area, "version", []string{"is version v0.1.0"}, []string{"restart the service"}},
	})
}

// startedService is where the API of a service of its own answers.
func startedService(t *testing.T) string {
	t.Helper()
	_, environ := setUpBroker(t)
	environ["LOG_FORMAT"] = "json"
	return startService(t, environ).up(t).API
}

// renewKey makes the key that a fix names, and takes the old line out.
func renewKey(path string) func(*testing.T, *broken, string) {
	return func(t *testing.T, b *broken, fix string) {
		t.Helper()
		newKey(t, b, fix)
		if out, err := exec.CommandContext(t.Context(), "sed", "-i", "/^old /d", path).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
}

func mode(t *testing.T, path string, to os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, to); err != nil {
		t.Fatal(err)
	}
}

// certificates are a set-up whose certificate holds until a time, and is renewed in its place.
func certificates(on func(map[string]string) map[string]string, until time.Time) func(*testing.T) *broken {
	return func(t *testing.T) *broken {
		cert, key := writeNamedCertificate(t, until, "metrics.test")
		return &broken{on(map[string]string{"HTTP_CERT": cert, "HTTP_KEY": key}), func(t *testing.T, _ *broken, _ string) {
			newCert, newKey := writeNamedCertificate(t, time.Now().AddDate(0, 0, 90), "metrics.test")
			for from, to := range map[string]string{newCert: cert, newKey: key} {
				if err := os.Rename(from, to); err != nil {
					t.Fatal(err)
				}
			}
		}}
	}
}

// otherVersion is a service whose document says that it is older.
func otherVersion(t *testing.T, api string) http.Handler {
	t.Helper()
	to, err := url.Parse(api)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ModifyResponse = func(r *http.Response) error {
		text, err := io.ReadAll(r.Body)
		if r.Request.URL.Path == "/openapi.json" {
			text = bytes.Replace(text, []byte(`"version":"`+version()+`"`), []byte(`"version":"v0.1.0"`), 1)
		}
		r.Body = io.NopCloser(bytes.NewReader(text))
		r.ContentLength = int64(len(text))
		r.Header.Del("Content-Length")
		return err
	}
	return proxy
}

func TestDoctorFindsWhatIsWrongWithTheCollector(t *testing.T) {
	t.Parallel()
	notInShort(t)
	well := healthy(t)
	collector := func(t *testing.T, answer http.HandlerFunc) string {
		server := httptest.NewServer(answer)
		t.Cleanup(server.Close)
		return server.URL
	}
	takes := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }
	testSetups(t, []badSetup{
		{"no collector answers", func(t *testing.T) *broken {
			return &broken{with(well, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}),
				set(map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": collector(t, takes)})}
		}, verdictWarn, "telemetry", "metrics", []string{"the collector does not answer"},
			[]string{"OTEL_EXPORTER_OTLP_ENDPOINT", "4318"}},
		{"the collector wants a key", func(t *testing.T) *broken {
			to := collector(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Api-Key") != "right" {
					w.WriteHeader(http.StatusUnauthorized)
				}
			})
			return &broken{with(well, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": to,
				"OTEL_EXPORTER_OTLP_HEADERS": "api-key=hunter2"}),
				set(map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": "api-key=right"})}
		}, verdictWarn, "telemetry", "metrics", []string{"401 Unauthorized"}, []string{"set OTEL_EXPORTER_OTLP_HEADERS"}},
		{"the collector takes no log records", func(t *testing.T) *broken {
			to := collector(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/v1/logs" {
					w.WriteHeader(http.StatusNotFound)
				}
			})
			return &broken{with(well, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": to}),
				set(map[string]string{"OTEL_LOGS_EXPORTER": "none"})}
		}, verdictWarn, "telemetry", "logs", []string{"404 Not Found"}, []string{"set OTEL_LOGS_EXPORTER=none"}},
	})
}

func TestDoctorFindsWhatIsWrongWithDataverse(t *testing.T) {
	t.Parallel()
	notInShort(t)
	// copies is a deployment that was set up and copies to an organization.
	copies := func(t *testing.T, empty bool) map[string]string {
		_, environ := setUpBroker(t)
		return with(environ, testOrganization(t, testEmulator(t, empty)))
	}
	const area = "dataverse"
	testSetups(t, []badSetup{
		{"no table", func(t *testing.T) *broken { return &broken{copies(t, true), runSetup} },
			verdictFail, area, "table", []string{"there is no apex_campaignmetric"}, []string{"runmetrics setup"}},
		{"a wrong client secret", func(t *testing.T) *broken {
			return &broken{with(copies(t, false), map[string]string{"DATAVERSE_CLIENT_SECRET": "hunter2"}),
				set(map[string]string{"DATAVERSE_CLIENT_SECRET": organizationSecret})}
		}, verdictFail, area, "token", []string{"AADSTS7000215"}, []string{"DATAVERSE_CLIENT_SECRET"}},
		{"no organization there", func(t *testing.T) *broken {
			environ := copies(t, false)
			return &broken{with(environ, map[string]string{"DATAVERSE_URL": "http://127.0.0.1:1"}),
				set(map[string]string{"DATAVERSE_URL": environ["DATAVERSE_URL"]})}
		}, verdictFail, area, "address", []string{"127.0.0.1:1"}, []string{"correct DATAVERSE_URL"}},
		{"a setting is missing", func(t *testing.T) *broken {
			return &broken{with(copies(t, false), map[string]string{"DATAVERSE_TENANT_ID": ""}),
				set(map[string]string{"DATAVERSE_TENANT_ID": "contoso"})}
		}, verdictFail, area, "DATAVERSE_TENANT_ID", []string{"is missing"}, []string{"set it to the id or domain"}},
	})
}
