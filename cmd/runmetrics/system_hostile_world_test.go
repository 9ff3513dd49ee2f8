package main

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

const (
	// hostilePassword is the database's, and must stand nowhere.
	hostilePassword = "kept to itself: 'p@ss'" // in the URL it is written otherwise
	// steady is how long a state is watched for whether it stays.
	steady = time.Second
	// backToNormal is how long a service may take to commit again when nothing is wrong any more: one that is degraded
	// tries at least every 5 s, one that is blocked every 15 s, and the machine may be busy.
	backToNormal = 30 * time.Second
)

// hostile is one service and its database, which belongs to an ordinary role.
type hostile struct {
	*world
	service  *program
	name     string // of deployment and role
	database string
	admin    *sql.DB // the superuser, in another database of the same server
	inside   *sql.DB // the superuser, in this one
}

// onHostilePostgres makes a world with a Postgres server. Its services come with inhabit.
func (s *system) onHostilePostgres(t *testing.T) *world {
	t.Helper()
	server := sinktest.StartPostgres(t, "fsync=off")
	b, environ := testBroker(t)
	return &world{system: s, broker: b, postgres: server, environ: environ}
}

// inhabit gives a deployment a database of its own in the world, and a role of the same name that owns it. Nothing is set
// up in it yet.
func (w *world) inhabit(t *testing.T, name string) *hostile {
	t.Helper()
	dsn, err := url.Parse(w.postgres.CreateDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	h := &hostile{name: name, database: strings.TrimPrefix(dsn.Path, "/")}
	h.admin = openDatabase(t, map[string]string{"DATABASE_URL": w.postgres.DSN("postgres")})
	h.inside = openDatabase(t, map[string]string{"DATABASE_URL": dsn.String()})
	t.Cleanup(func() { h.admin.Close(); h.inside.Close() })
	must(t, h.admin, "CREATE ROLE "+name+" LOGIN PASSWORD "+quoted(hostilePassword))
	h.alter(t, "OWNER TO "+name)

	own := *w
	dsn.User = url.UserPassword(name, hostilePassword)
	own.environ = with(w.environ, map[string]string{"DATABASE_URL": dsn.String(), "DEPLOYMENT": name, "DATA_DIR": t.TempDir()})
	h.world = &own
	return h
}

// limit bounds the connections that the role may have; -1 is without bound.
func (h *hostile) limit(t *testing.T, connections int) {
	t.Helper()
	must(t, h.admin, fmt.Sprintf("ALTER ROLE %s CONNECTION LIMIT %d", h.name, connections))
}

// alter changes a setting of the database, as the superuser.
func (h *hostile) alter(t *testing.T, how string) {
	t.Helper()
	must(t, h.admin, "ALTER DATABASE "+h.database+" "+how)
}

func must(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// endSessions ends all sessions in the database, and returns when they are gone.
func (h *hostile) endSessions(t *testing.T) {
	t.Helper()
	must(t, h.admin, h.allSessions())
}

func (h *hostile) allSessions() string {
	return "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = " + quoted(h.database)
}

// trouble is something that goes wrong around a service.
type trouble struct {
	name  string
	state string // that the service must show
	says  string // what its reason must hold
	leaky bool   // commits may pass meanwhile
	again bool   // it may be over between two commits, and is begun again until the service has noticed
	begin func(t *testing.T)
	end   func(t *testing.T) // takes the cause away; nil where it goes by itself
}

// struck is a service in trouble.
type struck struct {
	*hostile
	trouble
	position uint64 // where it stands
}

// strike begins a trouble and waits until the service shows it.
func (h *hostile) strike(t *testing.T, f trouble) struck {
	t.Helper()
	before := len(h.service.stderr.String())
	f.begin(t)
	if f.leaky {
		// It may be over before anybody looks.
		begun := time.Now()
		until(t, patience, f.name+": the service says so", func() bool {
			if f.again && time.Since(begun) > time.Second {
				f.begin(t)
				begun = time.Now()
			}
			return strings.Contains(h.service.stderr.String()[before:], f.says)
		})
		t.Logf("%s: said in the log", f.name)
		return struck{h, f, 0}
	}
	return h.shows(t, f)
}

// shows waits until the service shows a trouble.
func (h *hostile) shows(t *testing.T, f trouble) struck {
	t.Helper()
	var shown readiness
	until(t, patience, f.name+": the service shows it", func() bool {
		shown = h.service.ready(t)
		return shown.State == f.state && len(shown.Reasons) > 0 && strings.Contains(shown.Reasons[0], f.says)
	})
	t.Logf("%s: %s %q", f.name, shown.State, shown.Reasons)
	if strings.Contains(shown.Reasons[0], "p@ss") {
		t.Errorf("%s: /readyz tells the password", f.name)
	}
	return struck{h, f, shown.Streams[0].Position}
}

// endure looks for a while whether the services keep to the states that they have shown, and commit nothing.
func endure(t *testing.T, list ...struck) {
	t.Helper()
	for end := time.Now().Add(steady); time.Now().Before(end); {
		for _, s := range list {
			if r := s.service.ready(t); !s.leaky && (r.State != s.state || r.Streams[0].Position != s.position) {
				t.Fatalf("%s: it says %+v, and did not commit beyond %d before", s.trouble.name, r, s.position)
			}
		}
	}
}

// relieve takes the causes away and waits until each service has committed something and is active.
func relieve(t *testing.T, list ...struck) {
	t.Helper()
	for i, s := range list {
		if s.end != nil {
			s.end(t)
		}
		if s.leaky {
			list[i].position = s.service.position(t)
		}
	}
	began := time.Now()
	left := slices.Clone(list)
	until(t, backToNormal, "all commit again", func() bool {
		left = slices.DeleteFunc(left, func(s struck) bool {
			back := s.service.position(t) > s.position
			if back {
				t.Logf("%s: committed again %s after its end", s.trouble.name, time.Since(began).Round(time.Millisecond))
			}
			return back
		})
		return len(left) == 0
	})
	for _, s := range list {
		s.service.becomes(t, "active")
	}
}

// commitsMore waits until the position has moved.
func (h *hostile) commitsMore(t *testing.T, when string) {
	t.Helper()
	stood := h.service.position(t)
	until(t, patience, when+": events are committed", func() bool { return h.service.position(t) > stood })
}

// suffers goes through a whole trouble.
func (h *hostile) suffers(t *testing.T, f trouble) {
	t.Helper()
	h.commitsMore(t, f.name+": before")
	s := h.strike(t, f)
	endure(t, s)
	relieve(t, s)
}

// wantAll fails the test unless everything that was fed is counted once, and no secret was told.
func (h *hostile) wantAll(t *testing.T, f *feed) {
	t.Helper()
	h.service.reaches(t, uint64(f.sent), patience)
	h.service.wantOracle(t, f.load, f.events)
	h.service.terminate(t)
	h.wantStanding(t, standing{sequence: int64(f.sent), applied: int64(f.events), duplicates: int64(f.sent - f.events)})
	if said := h.service.stderr.String(); strings.Contains(said, "p@ss") || strings.Contains(said, "p%40ss") {
		t.Errorf("the password stands in the log: %s", said)
	}
}

// feed publishes a load evenly until it is stopped, since nobody knows before how long a database takes to recover. The
// counts are there after stop.
type feed struct {
	load         load
	events, sent int // without and with repetitions
	stop         func()
}

// feed starts to publish so many events each second.
func (w *world) feed(t *testing.T, l load, rate int) *feed {
	t.Helper()
	js := testJetStream(t, w.broker)
	f := &feed{load: l}
	stopped, over := make(chan struct{}), make(chan struct{})
	f.stop = sync.OnceFunc(func() { close(stopped); <-over })
	t.Cleanup(f.stop)
	go func() {
		defer close(over)
		if err := f.run(t, js, rate, stopped); err != nil {
			t.Errorf("a publisher noticed: %v", err)
		}
	}()
	return f
}

func (f *feed) run(t *testing.T, js jetstream.JetStream, rate int, stopped <-chan struct{}) error {
	const period = 20 * time.Millisecond
	portion := max(1, int(time.Duration(rate)*period/time.Second))
	tick := time.NewTicker(time.Duration(portion) * time.Second / time.Duration(rate))
	defer tick.Stop()
	ctx := context.WithoutCancel(t.Context()) // a test that fails ends its context before it stops the feed
	for e, repeated := range f.load.All(1 << 30) {
		if f.sent%portion == 0 {
			select {
			case <-stopped:
				return nil
			case <-tick.C:
			}
		}
		message := eventMessage(&e, events.Encode(&e), fmt.Sprint(f.sent)) // the broker must not drop repetitions
		if _, err := js.PublishMsg(ctx, message); err != nil {
			return err
		}
		f.sent++
		if !repeated {
			f.events++
		}
	}
	return nil
}
