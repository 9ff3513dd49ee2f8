package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// newToken makes a key and returns the line for the file and the token.
func newToken(t *testing.T, args ...string) (line, token string) {
	t.Helper()
	r := call(t, nil, "", append([]string{"keys", "new"}, args...)...)
	r.want(t, exitOK)
	return r.stdout, strings.TrimSpace(strings.Split(r.stderr, "\n")[1])
}

// writeCertificate writes a certificate of 127.0.0.1, known by its serial number, and its key into a directory.
func writeCertificate(t *testing.T, dir string, serial int64) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), DNSNames: []string{"metrics.example.com"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for path, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: certificate}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// asked is what one request over a connection of its own came to.
type asked struct {
	status int
	proto  int   // major version of HTTP
	serial int64 // of the certificate that was shown
	header http.Header
	body   string
}

// ask sends a GET with a token.
func ask(t *testing.T, url, token string) asked {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = "metrics.example.com"
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	got := asked{status: response.StatusCode, proto: response.ProtoMajor, header: response.Header, body: string(body)}
	if response.TLS != nil {
		got.serial = response.TLS.PeerCertificates[0].SerialNumber.Int64()
	}
	return got
}

func TestServiceRotatesKeysAndCertificateWithoutARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile := writeCertificate(t, dir, 1)
	oldLine, oldToken := newToken(t, "studio")
	newLine, nextToken := newToken(t, "studio-2")
	keysFile := filepath.Join(dir, "keys")
	replace := func(text string) { // as editors and secret stores do
		t.Helper()
		if err := os.WriteFile(keysFile+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(keysFile+".new", keysFile); err != nil {
			t.Fatal(err)
		}
	}
	replace(oldLine)
	environ := with(embedded(t), map[string]string{"API_KEYS_FILE": keysFile, "HTTP_CERT": certFile, "HTTP_KEY": keyFile, "API_RATE_LIMIT": "0"})
	p := startService(t, environ)
	at := p.up(t)
	listing := at.API + "/api/metrics/campaign"
	first := ask(t, listing, oldToken)
	if first.status != http.StatusOK || first.serial != 1 || first.proto != 2 || first.header.Get("Strict-Transport-Security") == "" {
		t.Fatalf("%+v", first)
	}
	call(t, with(environ, map[string]string{"HTTP_ADDR": strings.TrimPrefix(at.API, "https://")}), "", "healthcheck").want(t, exitOK)

	replace(oldLine + newLine)
	writeCertificate(t, dir, 2)
	eventually(t, "both keys are valid", func() bool { return ask(t, listing, nextToken).status == http.StatusOK })
	if got := ask(t, listing, oldToken); got.status != http.StatusOK {
		t.Errorf("the old key: %d", got.status)
	}
	replace(newLine)
	eventually(t, "the old key is refused", func() bool { return ask(t, listing, oldToken).status == http.StatusUnauthorized })
	eventually(t, "the new certificate is shown", func() bool { return ask(t, listing, nextToken).serial == 2 })
	metrics := ask(t, at.API+"/metrics", nextToken).body
	for _, series := range []string{`runmetrics_api_requests_total{key="studio",status="200"}`, `runmetrics_api_requests_total{key="",status="401"}`} {
		if !strings.Contains(metrics, series) {
			t.Errorf("/metrics lacks %s", series)
		}
	}
	p.stop(t)
	log := p.stderr.String()
	for _, token := range []string{oldToken, nextToken} {
		if _, secret, _ := strings.Cut(token, "."); strings.Contains(log, secret) {
			t.Error("the log shows a secret")
		}
	}
	if !strings.Contains(log, `"key_id":"studio-2"`) || !strings.Contains(log, `"reason":"unknown key"`) || strings.Contains(log, "plain HTTP") {
		t.Errorf("log: %s", log)
	}
}

func TestServiceWarnsOfKeysOverPlainHTTP(t *testing.T) {
	t.Parallel()
	line, _ := newToken(t, "studio")
	var log syncBuffer
	s := &service{cfg: &Config{HTTPAddr: "0.0.0.0:0", APIKeysFile: writeFile(t, line)}, log: newLog(&log, &Config{})}
	var err error
	if s.keys, err = readKeys(s.cfg.APIKeysFile); err != nil {
		t.Fatal(err)
	}
	s.warnOfPlainHTTP()
	if !strings.Contains(log.String(), "HTTP_CERT") {
		t.Errorf("log: %s", log.String())
	}
}

func TestKeysListShowsNoHashesAndEveryFault(t *testing.T) {
	t.Parallel()
	line, _ := newToken(t, "studio", "--scopes", "read,write", "--expires", "2027-01-31")
	file := writeFile(t, strings.TrimSpace(line)+" # of \x1b[31mthe team\n")
	r := call(t, map[string]string{"API_KEYS_FILE": file}, "", "keys", "list")
	r.want(t, exitOK)
	want := "KEY     SCOPES      EXPIRES     COMMENT\nstudio  read,write  2027-01-31  of \ufffd[31mthe team\n"
	if r.stdout != want {
		t.Errorf("prints %q", r.stdout)
	}
	r = call(t, nil, "", "keys", "list", writeFile(t, "hunter2\nstudio all 12\n"))
	r.want(t, exitUsage)
	for _, fault := range []string{"line 1: must be", "line 2: scopes must be", "line 2: hash must be"} {
		if !strings.Contains(r.stderr, fault) {
			t.Errorf("does not say %s: %s", fault, r.stderr)
		}
	}
	if strings.Contains(r.stderr, "hunter2") {
		t.Errorf("shows what may be a secret: %s", r.stderr)
	}
	call(t, nil, "", "keys", "list").want(t, exitUsage)
}

func TestKeysCheckTellsWhoseATokenIs(t *testing.T) {
	t.Parallel()
	line, token := newToken(t, "studio", "--scopes", "read,write")
	late, lateToken := newToken(t, "late", "--expires", "2001-01-01")
	file := writeFile(t, line+late)
	r := call(t, nil, token+"\n", "keys", "check", file)
	r.want(t, exitOK)
	if r.stdout != "studio may read and write\n" {
		t.Errorf("prints %q", r.stdout)
	}
	for given, says := range map[string]string{token + "x": "the token of studio is refused: wrong secret", "nobody.x": "the token is refused: unknown key",
		"": "no key", lateToken: "the token of late is refused: expired"} {
		r := call(t, nil, given, "keys", "check", file)
		r.want(t, exitFailure)
		if _, secret, _ := strings.Cut(given, "."); !strings.Contains(r.stderr, says) || len(secret) > 1 && strings.Contains(r.stderr, secret) {
			t.Errorf("%.8s: says %s", given, r.stderr)
		}
	}
}
