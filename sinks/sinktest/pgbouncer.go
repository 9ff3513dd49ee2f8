package sinktest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// PgBouncer is a real PgBouncer in transaction mode before a Postgres server, as Neon has it: statements of one client
// run on any of a few server connections, which no session survives.
type PgBouncer struct {
	path, dir string
	account   *account
	port      int
	behind    string // the DSN of a database that is always there, through the pooler

	process *process
}

// StartPgBouncer starts a pooler before the server; it ends with the test. It skips the test where PgBouncer is not
// installed.
func StartPgBouncer(t testing.TB, server *PostgresServer) *PgBouncer {
	t.Helper()
	path, err := exec.LookPath("pgbouncer")
	if err != nil {
		path = "/usr/sbin/pgbouncer" // often not on the PATH of an ordinary user
		if _, err := os.Stat(path); err != nil {
			missing(t, "PgBouncer")
		}
	}
	b, err := newPgBouncer(t, path, server)
	if err != nil {
		t.Fatalf("start PgBouncer: %v", err)
	}
	return b
}

func newPgBouncer(t testing.TB, path string, server *PostgresServer) (*PgBouncer, error) {
	dir, err := serverDir(server.account)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	b := &PgBouncer{path: path, dir: dir, account: server.account, port: port}
	b.behind = b.Route(t, server.DSN("postgres"))
	if err := os.WriteFile(b.config(), []byte(bouncerConfig(port, server.port)), 0o644); err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		if b.process != nil {
			b.process.end(syscall.SIGTERM)
		}
	})
	return b, b.start()
}

func (b *PgBouncer) config() string { return filepath.Join(b.dir, "pgbouncer.ini") }

// start returns when a statement gets through.
func (b *PgBouncer) start() error {
	log := filepath.Join(b.dir, "log")
	p, err := startProcess(b.account, syscall.SIGTERM, log, b.path, b.config())
	if err != nil {
		return err
	}
	b.process = p
	if err := untilAnswered(p, b.behind); err != nil {
		said, _ := os.ReadFile(log) // there is nothing better to tell
		return fmt.Errorf("%w; it said: %s", err, said)
	}
	return nil
}

// Crash ends the pooler at once, as kill -9 does.
func (b *PgBouncer) Crash(t testing.TB) {
	t.Helper()
	if b.process == nil {
		t.Fatal("crash PgBouncer: it does not run")
	}
	b.process.end(syscall.SIGKILL)
	b.process = nil
}

// Start starts the pooler again after Crash, on the same port.
func (b *PgBouncer) Start(t testing.TB) {
	t.Helper()
	if b.process != nil {
		t.Fatal("start PgBouncer: it runs")
	}
	if err := b.start(); err != nil {
		t.Fatalf("start PgBouncer: %v", err)
	}
}

// bouncerConfig shares three connections for each database among all clients, so that a client that counts on a session
// soon meets another one's. After a server that was away it asks again every second; by default it is every 15.
func bouncerConfig(port, serverPort int) string {
	return `[databases]
* = host=127.0.0.1 port=` + strconv.Itoa(serverPort) + ` user=postgres

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ` + strconv.Itoa(port) + `
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
max_client_conn = 200
server_login_retry = 1
`
}

// Route returns the way through the pooler to the database that the DSN names.
func (b *PgBouncer) Route(t testing.TB, dsn string) string {
	t.Helper()
	routed, err := atPort(dsn, b.port)
	if err != nil {
		t.Fatalf("route through PgBouncer: %v", err)
	}
	return routed
}
