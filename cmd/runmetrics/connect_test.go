package main

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/nats-io/nats-server/v2/server"
)

// oldServer answers like a NATS server of the version, as far as connecting goes.
func oldServer(t *testing.T, version string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(c, "INFO {\"server_id\":\"X\",\"version\":%q,\"headers\":true,\"max_payload\":1048576}\r\n", version)
			for lines := bufio.NewScanner(c); lines.Scan(); {
				if strings.HasPrefix(lines.Text(), "PING") {
					fmt.Fprint(c, "PONG\r\n")
				}
			}
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return "nats://" + l.Addr().String()
}

func TestConnectRefusesAServerThatIsTooOldAndNamesBothVersions(t *testing.T) {
	t.Parallel()
	r := call(t, map[string]string{"NATS_URL": oldServer(t, "2.12.3"), "DATA_DIR": t.TempDir()}, "", "publish", "--generate", "1")
	r.want(t, exitFailure)
	if !strings.Contains(r.stderr, "2.12.3") || !strings.Contains(r.stderr, "2.14") {
		t.Errorf("says %s", r.stderr)
	}
}

func TestServiceStopsWhenTheServerThatAnswersIsTooOld(t *testing.T) {
	t.Parallel()
	p := start(t, map[string]string{"NATS_URL": oldServer(t, "2.10.1"), "DATA_DIR": t.TempDir(), "HTTP_ADDR": "127.0.0.1:0"}, "run")
	select {
	case code := <-p.exited:
		p.exited <- code
		if code != exitFailure || !strings.Contains(p.stderr.String(), "2.10.1") {
			t.Errorf("exit code %d: %s", code, p.stderr.String())
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("goes on: %s", p.stderr.String())
	}
}

func TestVersionsCompareAsNumbers(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]bool{
		"2.14.0": true, "2.14.0-RC.1": true, "2.15.2": true, "3.0.0": true, "10.0": true,
		"2.9.25": false, "2.13.9": false, "1.99.0": false, "": false, "two.14": false,
	} {
		if got := recentEnough(version); got != want {
			t.Errorf("%q: %t", version, got)
		}
	}
}

func TestConnectSaysWhereNobodyAnswersWithoutThePassword(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	for _, user := range []string{"token-hunter2", "user:hunter2"} {
		r := call(t, map[string]string{"NATS_URL": "nats://" + user + "@" + address}, "", "publish", "--generate", "1")
		r.want(t, exitFailure)
		if !strings.Contains(r.stderr, address) || strings.Contains(r.stderr, "hunter2") {
			t.Errorf("says %s", r.stderr)
		}
	}
}

func TestConnectShowsAnNkeyFromItsSeed(t *testing.T) {
	t.Parallel()
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, _ := pair.PublicKey()
	seed, _ := pair.Seed()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
		Nkeys: []*server.NkeyUser{{Nkey: public}}})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	defer func() { s.Shutdown(); s.WaitForShutdown() }()
	environ := map[string]string{"NATS_URL": s.ClientURL(), "NATS_NKEY_FILE": writeFile(t, string(seed)+"\n")}
	cfg, err := loadConfig(environ, "")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := connectNATS(cfg, connection{URL: cfg.natsURL(), Role: "test"}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if conn.Status() != nats.CONNECTED {
		t.Errorf("status %v", conn.Status())
	}
	cfg.NATSNKey = NewSecret("not a seed")
	_, err = connectNATS(cfg, connection{URL: cfg.natsURL(), Role: "test"}, quiet())
	if err == nil || strings.Contains(err.Error(), "not a seed") {
		t.Errorf("a bad seed: %v", err)
	}
}
