package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/consumer"
)

// natsUsers is the file whose rights the tests of the broker's side run under.
const natsUsers = "../../deploy/nats-users.conf"

// The users of that file, with the passwords that the tests give them.
var natsPasswords = map[string]string{"publisher": "pen-and-paper", "processor": "cogs-and-wheels", "operator": "oil-and-rags"}

// guarded is a NATS server with those users. It can be stopped and started again, on the same port and with the same
// files, and its rights can be changed while it runs.
type guarded struct {
	config  string // the server's file; the users are beside it
	address string
	server  *server.Server
	said    *brokerSays
	environ map[string]string // of the program as operator
}

// passwords puts the passwords where the file looks for them. t.Setenv does not go with parallel tests, and nobody else
// reads these.
var passwords = sync.OnceValue(func() error {
	for user, password := range natsPasswords {
		if err := os.Setenv("RUNMETRICS_"+strings.ToUpper(user)+"_PASSWORD", password); err != nil {
			return err
		}
	}
	return nil
})

func startGuarded(t *testing.T) *guarded {
	t.Helper()
	if err := passwords(); err != nil {
		t.Fatal(err)
	}
	g := &guarded{config: filepath.Join(t.TempDir(), "nats.conf"), address: "127.0.0.1:-1", said: &brokerSays{}}
	g.grant(t, nil)
	if err := g.start(); err != nil {
		t.Fatal(err)
	}
	g.address = g.server.Addr().String()
	g.grant(t, nil) // from now on with this port
	g.environ = map[string]string{"NATS_URL": g.url("operator"), "DATA_DIR": t.TempDir(), "HTTP_ADDR": "127.0.0.1:0", "LOG_FORMAT": "json"}
	t.Cleanup(func() { g.stop() })
	return g
}

// grant writes the configuration with the users' rights as edit changes them; nil is as they are.
func (g *guarded) grant(t *testing.T, edit func(users string) string) {
	t.Helper()
	users, err := os.ReadFile(natsUsers)
	if err != nil {
		t.Fatal(err)
	}
	text := string(users)
	if edit != nil {
		text = edit(text)
	}
	dir := filepath.Dir(g.config)
	main := fmt.Sprintf("listen: %q\njetstream { store_dir: %q }\ninclude nats-users.conf\n", g.address, filepath.Join(dir, "data"))
	for name, content := range map[string]string{g.config: main, filepath.Join(dir, "nats-users.conf"): text} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if g.server != nil {
		if err := g.server.Reload(); err != nil {
			t.Fatal(err)
		}
	}
}

func (g *guarded) start() error {
	options, err := server.ProcessConfigFile(g.config)
	if err != nil {
		return err
	}
	options.NoSigs = true
	if g.server, err = server.NewServer(options); err != nil {
		return err
	}
	g.server.SetLoggerV2(g.said, false, false, false)
	g.server.Start()
	if !g.server.ReadyForConnections(10 * time.Second) {
		return errors.New("the broker did not start")
	}
	return nil
}

func (g *guarded) stop() {
	g.server.Shutdown()
	g.server.WaitForShutdown()
}

// url is where a user connects.
func (g *guarded) url(user string) string { return urlOf(user, g.address) }

// as is the environment of a program of that user.
func (g *guarded) as(user string) map[string]string {
	return with(g.environ, map[string]string{"NATS_URL": g.url(user)})
}

// jetStream connects as a user, whose answers come to the inbox.
func (g *guarded) jetStream(t *testing.T, user, inbox string) jetstream.JetStream {
	t.Helper()
	return jetStreamAt(t, g.url(user), nats.CustomInboxPrefix(inbox))
}

// takePin lets the operator have the pin, so that the reader has to take it away.
func (g *guarded) takePin(t *testing.T) {
	t.Helper()
	conn := g.jetStream(t, "operator", "_INBOX_main").Conn()
	of := "RUN_EVENTS." + consumer.ConsumerName("main")
	if _, err := conn.Request("$JS.API.CONSUMER.MSG.NEXT."+of, []byte(`{"batch":1,"group":"reader"}`), patience); err != nil {
		t.Fatal(err)
	}
}

func urlOf(user, address string) string {
	return "nats://" + user + ":" + natsPasswords[user] + "@" + address
}

// brokerSays keeps what a server says of refused rights.
type brokerSays struct {
	mu         sync.Mutex
	violations []string
}

func (s *brokerSays) Errorf(format string, v ...any) {
	if text := fmt.Sprintf(format, v...); strings.Contains(text, "Violation") {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.violations = append(s.violations, text)
	}
}

func (s *brokerSays) Noticef(string, ...any) {}
func (s *brokerSays) Warnf(string, ...any)   {}
func (s *brokerSays) Fatalf(string, ...any)  {}
func (s *brokerSays) Debugf(string, ...any)  {}
func (s *brokerSays) Tracef(string, ...any)  {}

// refused is what was refused so far.
func (s *brokerSays) refused() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.violations)
}

func (s *brokerSays) wantNoViolation(t *testing.T) {
	t.Helper()
	if refused := s.refused(); len(refused) > 0 {
		t.Errorf("refused: %q", refused)
	}
}

// proxy stands between a service and NATS, and does to their connections what networks do.
type proxy struct {
	net.Listener
	to string

	mu     sync.Mutex
	links  map[*link]struct{}
	closed bool
}

// link is one connection through the proxy. What it swallows is gone, and neither end hears of it.
type link struct {
	client, server         net.Conn
	fromClient, fromServer atomic.Bool // what comes from there is swallowed
}

func startProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{Listener: l, to: to, links: make(map[*link]struct{})}
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			accepting.Go(func() { p.pass(client) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.close()
		accepting.Wait()
	})
	return p
}

// pass carries a connection until one of its ends closes it.
func (p *proxy) pass(client net.Conn) {
	upstream, err := net.Dial("tcp", p.to)
	if err != nil {
		client.Close()
		return
	}
	l := &link{client: client, server: upstream}
	p.mu.Lock()
	p.links[l] = struct{}{}
	if p.closed {
		l.close()
	}
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { l.carry(client, upstream, &l.fromClient) })
	both.Go(func() { l.carry(upstream, client, &l.fromServer) })
	both.Wait()
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

// close ends all connections, also those that are being made.
func (p *proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cut()
}

// cut ends all connections that are there.
func (p *proxy) cut() { p.each((*link).close) }

// each does something to all connections that are there.
func (p *proxy) each(do func(*link)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		do(l)
	}
}

func (l *link) carry(from io.Reader, to io.Writer, swallowed *atomic.Bool) {
	defer l.close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if swallowed.Load() {
			continue
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (l *link) close() {
	l.client.Close()
	l.server.Close()
}
