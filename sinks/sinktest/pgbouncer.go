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
	port int
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
	config := filepath.Join(dir, "pgbouncer.ini")
	if err := os.WriteFile(config, []byte(bouncerConfig(port, server.port)), 0o644); err != nil {
		return nil, err
	}
	log := filepath.Join(dir, "log")
	p, err := startProcess(server.account, syscall.SIGTERM, log, path, config)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { p.end(syscall.SIGTERM) })
	b := &PgBouncer{port: port}
	if err := untilAnswered(p, b.Route(t, server.DSN("postgres"))); err != nil {
		said, _ := os.ReadFile(log) // there is nothing better to tell
		return nil, fmt.Errorf("%w; it said: %s", err, said)
	}
	return b, nil
}

// bouncerConfig shares three connections for each database among all clients, so that a client that counts on a session
// soon meets another one's.
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
