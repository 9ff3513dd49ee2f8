package query

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// followed runs f in a bubble of time beside what follows files; the log is what that said.
func followed(t *testing.T, follow func(context.Context, *slog.Logger), f func(t *testing.T, log *followLog)) {
	synctest.Test(t, func(t *testing.T) {
		var log followLog
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			follow(ctx, slog.New(slog.NewTextHandler(&log, nil)))
		}()
		f(t, &log)
		stop()
		<-ended
	})
}

// followLog is what was logged since it was last looked at.
type followLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *followLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *followLog) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.text.Reset()
	return l.text.String()
}

// fiveSeconds lets the time pass within which a change must be in use.
func fiveSeconds() {
	time.Sleep(5 * time.Second)
	synctest.Wait()
}

func write(t *testing.T, path string, lines ...string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestKeysAreRotatedWithoutARestart(t *testing.T) {
	old, oldToken := mustKey(t, "studio", ScopeRead)
	next, nextToken := mustKey(t, "studio-2", ScopeRead)
	path := filepath.Join(t.TempDir(), "keys")
	write(t, path, old)
	keys, err := ParseKeys(strings.NewReader(old))
	if err != nil {
		t.Fatal(err)
	}
	valid := func() (names string) {
		for _, token := range []string{oldToken, nextToken} {
			if id, _, refusal := keys.find(token, testStart); refusal == "" {
				names += id + " "
			}
		}
		return strings.TrimSpace(names)
	}
	follow := func(ctx context.Context, log *slog.Logger) { keys.Follow(ctx, path, log) }
	followed(t, follow, func(t *testing.T, log *followLog) {
		for _, step := range []struct {
			what   string
			change func()
			want   string
			logged string // once
		}{
			{"nothing changed", func() {}, "studio", ""},
			{"both side by side", func() { write(t, path, old, next) }, "studio studio-2", "changed files are in use"},
			{"the old one removed", func() { write(t, path, next) }, "studio-2", "changed files are in use"},
			{"a fault", func() { write(t, path, old, "hunter2 is not a line") }, "studio-2", "line 2: "},
			{"emptied", func() { write(t, path, "") }, "studio-2", "there is no key in it"},
			{"removed", func() { _ = os.Remove(path) }, "studio-2", "no such file"},
			{"there again", func() { write(t, path, old) }, "studio", "changed files are in use"},
		} {
			log.take()
			step.change()
			fiveSeconds()
			fiveSeconds()
			if got := valid(); got != step.want {
				t.Errorf("%s: valid are %s", step.what, got)
			}
			if said := log.take(); strings.Count(said, "\n") != min(len(step.logged), 1) || !strings.Contains(said, step.logged) ||
				strings.Contains(said, "hunter2") {
				t.Errorf("%s: log: %s", step.what, said)
			}
		}
	})
}

// TestFileThatIsBeingWrittenIsNotTakenHalf: the first part of a file of keys is a file of keys.
func TestFileThatIsBeingWrittenIsNotTakenHalf(t *testing.T) {
	first, _ := mustKey(t, "first", ScopeRead)
	second, token := mustKey(t, "second", ScopeRead)
	path := filepath.Join(t.TempDir(), "keys")
	whole := []string{first, second}
	write(t, path, whole...)
	keys, err := ParseKeys(strings.NewReader(strings.Join(whole, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	follow := func(ctx context.Context, log *slog.Logger) { keys.Follow(ctx, path, log) }
	followed(t, follow, func(t *testing.T, _ *followLog) {
		for range 20 {
			write(t, path, first)
			time.Sleep(followTime * 3 / 4)
			write(t, path, whole...)
			time.Sleep(followTime * 3 / 4)
			synctest.Wait()
			if _, _, refusal := keys.find(token, testStart); refusal != "" {
				t.Fatal("half a file was taken")
			}
		}
	})
}

// testCertificate writes a certificate for a name, with its key, and returns their paths.
func testCertificate(t *testing.T, dir, name string, end time.Time) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: end.AddDate(-1, 0, 0), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write(t, certFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	return certFile, keyFile
}

func TestCertificateIsReplacedWithoutARestart(t *testing.T) {
	dir := t.TempDir()
	longAway := time.Now().AddDate(50, 0, 0)
	certFile, keyFile := testCertificate(t, dir, "one.example.com", longAway)
	c, err := LoadCertificate(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	other, _ := testCertificate(t, t.TempDir(), "other.example.com", longAway)
	foreign, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	followed(t, c.Follow, func(t *testing.T, log *followLog) {
		for _, step := range []struct {
			what, want string
			change     func()
		}{
			{"nothing changed", "one.example.com", func() {}},
			{"renewed", "two.example.com", func() { testCertificate(t, dir, "two.example.com", longAway) }},
			{"a certificate that is not of the key", "two.example.com", func() { write(t, certFile, string(foreign)) }},
			{"one that expired", "two.example.com", func() { testCertificate(t, dir, "late.example.com", time.Unix(9e8, 0)) }},
			{"renewed again", "three.example.com", func() { testCertificate(t, dir, "three.example.com", longAway) }},
		} {
			step.change()
			fiveSeconds()
			if got := c.current.Load().Leaf.Subject.CommonName; got != step.want {
				t.Errorf("%s: shows %s; log: %s", step.what, got, log.take())
			}
		}
	})
}

func TestCertificateThatIsOfNoUseIsRefused(t *testing.T) {
	certFile, keyFile := testCertificate(t, t.TempDir(), "late.example.com", time.Unix(1e9, 0))
	if _, err := LoadCertificate(certFile, keyFile); err == nil || !strings.Contains(err.Error(), "expired at 2001-09-09") {
		t.Errorf("expired: %v", err)
	}
	if _, err := LoadCertificate(certFile, certFile); err == nil {
		t.Error("a certificate was taken for a key")
	}
	if _, err := LoadCertificate(certFile, filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("there is no key")
	}
}
