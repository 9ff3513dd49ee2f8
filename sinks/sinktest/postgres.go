package sinktest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// PostgresServer is a real Postgres on 127.0.0.1, made by a test from the binaries of the machine. Its superuser is
// postgres without a password; the role PasswordRole needs one.
type PostgresServer struct {
	bin      string // the directory of the binaries
	dir      string
	account  *account
	settings []string
	port     int

	process   *process
	databases atomic.Int64
}

// PasswordRole is the one role that has to give a password: its name once more. It exists after the statement
// `CREATE ROLE needs_password LOGIN PASSWORD 'needs_password'`.
const PasswordRole = "needs_password"

// StartPostgres starts a server of its own for the test, which ends with it. Settings are those of postgresql.conf:
// "fsync=off" where speed matters more than truth, "log_statement=all" for Statements. It skips the test where Postgres
// is not installed.
func StartPostgres(t testing.TB, settings ...string) *PostgresServer {
	t.Helper()
	bin := postgresBinaries(t)
	s, err := newPostgres(bin, settings)
	if err != nil {
		t.Fatalf("start Postgres: %v", err)
	}
	t.Cleanup(s.remove)
	return s
}

// postgresBinaries finds where postgres and initdb are.
func postgresBinaries(t testing.TB) string {
	t.Helper()
	if path, err := exec.LookPath("postgres"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path)
		}
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres") // the pattern is well formed
	if len(found) == 0 {
		missing(t, "Postgres")
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path)))) // the folder is named after it
		return n
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })
	return filepath.Dir(newest)
}

func newPostgres(bin string, settings []string) (*PostgresServer, error) {
	a, err := serverAccount()
	if err != nil {
		return nil, err
	}
	dir, err := serverDir(a)
	if err != nil {
		return nil, err
	}
	s := &PostgresServer{bin: bin, dir: dir, account: a, settings: settings}
	if err = s.initialize(); err == nil {
		err = s.startSomewhere()
	}
	if err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}

func (s *PostgresServer) data() string    { return filepath.Join(s.dir, "data") }
func (s *PostgresServer) logFile() string { return filepath.Join(s.dir, "log") }

func (s *PostgresServer) initialize() error {
	p, err := startProcess(s.account, syscall.SIGKILL, s.logFile(), filepath.Join(s.bin, "initdb"),
		"--pgdata="+s.data(), "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
	if err != nil {
		return err
	}
	<-p.done
	access := "host all " + PasswordRole + " 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n"
	if err := os.WriteFile(filepath.Join(s.data(), "pg_hba.conf"), []byte(access), 0o600); err != nil {
		return fmt.Errorf("%w; initdb said: %s", err, s.Log())
	}
	return nil
}

// startSomewhere starts the server on a port that is free. Another process may be faster, so it tries a few.
func (s *PostgresServer) startSomewhere() error {
	var err error
	for range 5 {
		if s.port, err = freePort(); err != nil {
			return err
		}
		if err = s.start(); err == nil {
			return nil
		}
	}
	return err
}

// start returns when the server answers.
func (s *PostgresServer) start() error {
	args := []string{"-D", s.data(), "-p", strconv.Itoa(s.port)}
	for _, setting := range append([]string{
		"listen_addresses=127.0.0.1", "unix_socket_directories=", "log_line_prefix=%a: "}, s.settings...) {
		args = append(args, "-c", setting)
	}
	// SIGQUIT ends it at once and, unlike SIGKILL, leaves no shared memory behind.
	p, err := startProcess(s.account, syscall.SIGQUIT, s.logFile(), filepath.Join(s.bin, "postgres"), args...)
	if err != nil {
		return err
	}
	s.process = p
	if err := untilAnswered(p, s.DSN("postgres")); err != nil {
		p.end(syscall.SIGQUIT)
		s.process = nil
		return fmt.Errorf("%w; the server said: %s", err, s.Log())
	}
	return nil
}

// untilAnswered waits until the server takes connections, at most 30 s.
func untilAnswered(p *process, dsn string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		conn, err := pgx.Connect(ctx, dsn)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-again.C:
		case <-p.done:
			return errors.New("the server ended at once")
		case <-ctx.Done():
			return err
		}
	}
}

// DSN returns the address of a database on the server.
func (s *PostgresServer) DSN(database string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", s.port, database)
}

// CreateDatabase makes an empty database for the test, which is dropped with it, and returns its DSN.
func (s *PostgresServer) CreateDatabase(t testing.TB) string {
	t.Helper()
	name, err := s.newDatabase(t.Context())
	if err != nil {
		t.Fatalf("create database: %v", err)
	}
	t.Cleanup(func() {
		if s.process == nil {
			return // it goes with the server
		}
		if err := s.exec(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("drop database: %v", err)
		}
	})
	return s.DSN(name)
}

func (s *PostgresServer) newDatabase(ctx context.Context) (name string, err error) {
	name = fmt.Sprintf("test_%d", s.databases.Add(1))
	return name, s.exec(ctx, "CREATE DATABASE "+name)
}

func (s *PostgresServer) exec(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, s.DSN("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}

// Stop shuts the server down as an operator would: connections are cut, what was committed stays.
func (s *PostgresServer) Stop(t testing.TB) {
	t.Helper()
	if s.process == nil {
		t.Fatal("stop Postgres: it does not run")
	}
	s.process.end(syscall.SIGINT)
	s.process = nil
}

// Crash ends the server as the loss of its process would: nobody is told, and the next start recovers from the log.
func (s *PostgresServer) Crash(t testing.TB) {
	t.Helper()
	if s.process == nil {
		t.Fatal("crash Postgres: it does not run")
	}
	s.process.end(syscall.SIGQUIT)
	s.process = nil
}

// Start starts the server again after Stop or Crash, on the same port with the same data.
func (s *PostgresServer) Start(t testing.TB) {
	t.Helper()
	if s.process != nil {
		t.Fatal("start Postgres: it runs")
	}
	if err := s.start(); err != nil {
		t.Fatalf("start Postgres: %v", err)
	}
}

// Log returns all that the server has said.
func (s *PostgresServer) Log() string {
	text, err := os.ReadFile(s.logFile())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Statements counts the statements that connections of the application have sent so far. The server must have been
// started with log_statement=all.
func (s *PostgresServer) Statements(application string) int {
	n := 0
	for line := range strings.Lines(s.Log()) {
		rest, ours := strings.CutPrefix(line, application+": LOG:  ")
		if ours && (strings.HasPrefix(rest, "statement: ") || strings.HasPrefix(rest, "execute ")) {
			n++
		}
	}
	return n
}

// remove ends the server and forgets its data.
func (s *PostgresServer) remove() {
	if s.process != nil {
		s.process.end(syscall.SIGQUIT)
		s.process = nil
	}
	_ = os.RemoveAll(s.dir) // a temporary directory that stays does no harm
}

// shared is the server that all tests of a binary use.
var shared struct {
	hasMain atomic.Bool
	once    sync.Once
	server  *PostgresServer
	err     error
}

// Main runs the tests of a package and ends its shared server. A package that calls SharedPostgres has a TestMain that
// calls it.
func Main(m *testing.M) {
	shared.hasMain.Store(true)
	code := m.Run()
	if shared.server != nil {
		shared.server.remove()
	}
	os.Exit(code)
}

// SharedPostgres returns the one server of the test binary, started at the first call. It does not sync its writes:
// what a test says about power loss needs StartPostgres.
func SharedPostgres(t testing.TB) *PostgresServer {
	t.Helper()
	if !shared.hasMain.Load() {
		t.Fatal("SharedPostgres: the package has no TestMain that calls sinktest.Main")
	}
	bin := postgresBinaries(t)
	shared.once.Do(func() { shared.server, shared.err = newPostgres(bin, []string{"fsync=off", "max_connections=300"}) })
	if shared.err != nil {
		t.Fatalf("start Postgres: %v", shared.err)
	}
	return shared.server
}

// atPort returns the DSN with another port.
func atPort(dsn string, port int) (string, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return "", err
	}
	u.Host = u.Hostname() + ":" + strconv.Itoa(port)
	return u.String(), nil
}
