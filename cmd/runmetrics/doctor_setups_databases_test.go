package main

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// neonHost is a name as Neon gives them, directHostName the same past its pooler.
const (
	neonHost   = "ep-test-pooler.eu-central-1.aws.neon.tech"
	directName = "ep-test.eu-central-1.aws.neon.tech"
)

// databases are one Postgres server that speaks TLS, a PgBouncer before it that does not, and a NATS server, for all set-ups.
type databases struct {
	server    *sinktest.PostgresServer
	pooler    *sinktest.PgBouncer
	nats      map[string]string
	authority string // file of the server's certificate
	made      atomic.Int64

	shared struct { // a database for set-ups that leave it as it is
		name    string
		environ map[string]string
	}
}

func startDatabases(t *testing.T) *databases {
	t.Helper()
	_, environ := testBroker(t)
	s := &databases{server: sinktest.StartPostgres(t, "log_min_messages=panic"), nats: environ}
	s.pooler = sinktest.StartPgBouncer(t, s.server)
	cert, key := writeNamedCertificate(t, time.Now().Add(90*24*time.Hour), "db.test", neonHost, directName)
	s.authority = cert
	for name, path := range map[string]string{"server.crt": cert, "server.key": key} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		// The server writes its own files: the test may run as another user.
		s.do(t, "postgres", fmt.Sprintf("COPY (SELECT unnest(string_to_array('%s', E'\\n'))) TO PROGRAM 'umask "+
			"077 && cat > %s'",
			strings.TrimSpace(string(text)), name))
	}
	s.do(t, "postgres", "ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()",
		"CREATE ROLE "+sinktest.PasswordRole+" LOGIN PASSWORD '"+sinktest.PasswordRole+"'")
	s.shared.name, s.shared.environ = s.database(t)
	return s
}

// common is the database that set-ups share.
func (s *databases) common() (name string, environ map[string]string) {
	return s.shared.name, maps.Clone(s.shared.environ)
}

// do runs statements as superuser.
func (s *databases) do(t *testing.T, database string, statements ...string) {
	t.Helper()
	db, err := sql.Open("pgx", s.server.DSN(database))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range statements {
		if _, err := db.ExecContext(context.WithoutCancel(t.Context()), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// database is one of its own that was set up, and the environment of a deployment of its own that uses it.
func (s *databases) database(t *testing.T) (name string, environ map[string]string) {
	t.Helper()
	return s.databaseAt(t, "127.0.0.1")
}

// databaseAt is set up by another name of the server, by which its deployment then knows it.
func (s *databases) databaseAt(t *testing.T, host string) (name string, environ map[string]string) {
	t.Helper()
	dsn := s.server.CreateDatabase(t)
	environ = with(s.nats, map[string]string{"DATABASE_URL": dsn, "DEPLOYMENT": fmt.Sprintf("d%d", s.made.Add(1))})
	environ = edited(environ, toHost(host))
	call(t, environ, "", "setup").want(t, exitOK)
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(u.Path, "/"), environ
}

// role is a user of its own without any rights.
func (s *databases) role(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("role_%d", s.made.Add(1))
	s.do(t, "postgres", "CREATE ROLE "+name+" LOGIN")
	return name
}

// edited is the environment with a part of DATABASE_URL written otherwise.
func edited(environ map[string]string, change func(u *url.URL)) map[string]string {
	u, err := url.Parse(environ["DATABASE_URL"])
	if err != nil {
		panic(err) // the tests made it
	}
	change(u)
	return with(environ, map[string]string{"DATABASE_URL": u.String()})
}

func toHost(host string) func(*url.URL) {
	return func(u *url.URL) { u.Host = net.JoinHostPort(host, u.Port()) }
}

func withQuery(u *url.URL, values ...string) {
	query := u.Query()
	for i := 0; i < len(values); i += 2 {
		query.Set(values[i], values[i+1])
	}
	u.RawQuery = query.Encode()
}

// advisedSQL follows the statements of a fix.
func (s *databases) advisedSQL(database string) func(*testing.T, *broken, string) {
	return func(t *testing.T, _ *broken, fix string) {
		t.Helper()
		done := 0
		for _, command := range advised(fix) {
			if first, _, _ := strings.Cut(command, " "); first == strings.ToUpper(first) {
				s.do(t, database, strings.ReplaceAll(command, "…", "new"))
				done++
			}
		}
		if done == 0 {
			t.Fatalf("no statement in %q", fix)
		}
	}
}
