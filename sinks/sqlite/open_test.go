package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// openAt opens a store and closes it with the test.
func openAt(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// refuses opens a file that must be refused as blocked, with the same bytes afterwards.
func refuses(t *testing.T, path string, also error) {
	t.Helper()
	before, _ := os.ReadFile(path)
	s, err := Open(t.Context(), Config{Path: path})
	if err == nil {
		_ = s.Close()
	}
	if !errors.Is(err, sinks.ErrBlocked) || also != nil && !errors.Is(err, also) {
		t.Errorf("open: %v", err)
	}
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Error("the file was changed")
	}
}

func TestOpenRefusesASchemaOfALaterProgram(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	s := openAt(t, path)
	if _, err := s.writer.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, true)"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	refuses(t, path, sinks.ErrSchema)
}

func TestOpenRefusesWhatIsNoDatabase(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("not a database\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	refuses(t, text, nil)
	refuses(t, filepath.Join(dir, "no", "such", "directory", "x.db"), nil)
	refuses(t, dir, nil)
	refuses(t, "", nil)
}

func TestOpenAgainKeepsEverything(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	s := openAt(t, path)
	w := sinktest.NewWriter(t, s, "S")
	write(t, w, "1")
	identity := s.identity
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, path)
	if p, err := s.Position(t.Context(), "S"); err != nil || p.Sequence != 1 {
		t.Errorf("position %+v, %v", p, err)
	}
	if s.identity != identity {
		t.Errorf("identity %v became %v", identity, s.identity)
	}
}

// write commits one event.
func write(t testing.TB, w *sinktest.Writer, id string) {
	t.Helper()
	if err := w.Write(t.Context(), event(id)); err != nil {
		t.Fatal(err)
	}
}

func event(id string) events.Event {
	return events.Event{Key: events.Key{CampaignID: "c", RunID: "r", Phase: "p"}, ID: id, Type: events.RunStarted,
		OccurredAt: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
}

// A killed process leaves the log behind and no farewell. The copy of both files is what it would find at its next start.
func TestCommitsSurviveTheProcess(t *testing.T) {
	dir := t.TempDir()
	w := sinktest.NewWriter(t, openAt(t, filepath.Join(dir, "x.db")), "S")
	for _, id := range []string{"1", "2", "3"} {
		write(t, w, id)
		restart := t.TempDir()
		for _, name := range []string{"x.db", "x.db-wal"} {
			content, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(restart, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		p, err := openAt(t, filepath.Join(restart, "x.db")).Position(t.Context(), "S")
		if err != nil || p.Sequence != w.Position.Sequence {
			t.Errorf("position %+v, %v; committed %+v", p, err, w.Position)
		}
	}
}

func TestSeveralProcessesMakeTheSchemaOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	g, ctx := errgroup.WithContext(t.Context())
	for range 6 {
		g.Go(func() error {
			for {
				s, err := Open(ctx, Config{Path: path})
				if errors.Is(err, sinks.ErrUnavailable) && ctx.Err() == nil {
					continue // SQLite does not wait for a file that another process is turning to WAL
				}
				if err != nil {
					return err
				}
				return s.Close()
			}
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

func TestOneFileIsOneIdentity(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink(dir, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err) // the program needs a Unix for its locks, so links are there
	}
	direct, linked := openAt(t, filepath.Join(dir, "x.db")), openAt(t, filepath.Join(dir, "link", "x.db"))
	if direct.identity != linked.identity {
		t.Errorf("%v and %v", direct.identity, linked.identity)
	}
	named, err := Open(t.Context(), Config{Path: filepath.Join(dir, "x.db"), Host: "worker-1"})
	if err != nil {
		t.Fatal(err)
	}
	defer named.Close()
	if named.identity.Host != "worker-1" {
		t.Errorf("host %q", named.identity.Host)
	}
}

func TestFullDiskIsUnavailableAndPasses(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "x.db"))
	w := sinktest.NewWriter(t, s, "S")
	write(t, w, "1")
	pages := func(n string) {
		if _, err := s.writer.Exec("PRAGMA max_page_count = " + n); err != nil {
			t.Fatal(err)
		}
	}
	pages("1") // means as many as there are
	var list []events.Event
	for i := range 200 {
		e := event(strings.Repeat("x", 100))
		e.RunID = strings.Repeat("r", i)
		list = append(list, e)
	}
	if err := w.Write(t.Context(), list...); !errors.Is(err, sinks.ErrUnavailable) {
		t.Fatalf("full disk: %v", err)
	}
	pages("1000000")
	if err := w.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w.Position.Sequence != 1 {
		t.Errorf("position %+v after a commit that failed", w.Position)
	}
	if err := w.Write(t.Context(), list...); err != nil {
		t.Errorf("after the disk has room again: %v", err)
	}
}

func TestFileLockedByAnotherProcessIsUnavailable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	w := sinktest.NewWriter(t, openAt(t, path), "S")
	write(t, w, "1")
	other, err := sql.Open("sqlite", dsn(path, writerOptions))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	lock, err := other.Begin()
	if err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := w.Commit(soon, w.Fold(event("2"))); !errors.Is(err, sinks.ErrUnavailable) {
		t.Errorf("commit to a locked file: %v", err)
	}
	if p, err := w.Store.Position(t.Context(), "S"); err != nil || p.Sequence != 1 {
		t.Errorf("reading while it is locked: %+v, %v", p, err)
	}
	if err := lock.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := w.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(t.Context(), event("2")); err != nil {
		t.Errorf("after the lock was released: %v", err)
	}
}

// What somebody did to the file by hand is for a person to mend, and never a message's fault.
func TestDamageIsBlocked(t *testing.T) {
	for name, damage := range map[string]string{
		"a table is missing":     "DROP TABLE voided_events; DROP TABLE event_chunks",
		"a chunk is no chunk":    "UPDATE event_chunks SET events = '[1]'",
		"a version went back":    "UPDATE campaign_metrics SET version = version - 1",
		"an unknown stored time": "UPDATE campaign_metrics SET created_at = 'yesterday'",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openAt(t, filepath.Join(t.TempDir(), "x.db"))
			w := sinktest.NewWriter(t, s, "S")
			write(t, w, "1")
			write(t, w, "2")
			run := event("").Key.UUID()
			if _, err := s.writer.Exec(damage); err != nil {
				t.Fatal(err)
			}
			if err := w.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
			_, _, readErr := s.Get(t.Context(), run)
			err := errors.Join(readErr, w.Write(t.Context(), event("3")))
			if !errors.Is(err, sinks.ErrBlocked) || errors.Is(err, sinks.ErrRefused) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestNobodyButItsOwnerReadsTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "runmetrics.db")
	openAt(t, path)
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode != 0o600 {
			t.Errorf("%s has mode %o", filepath.Base(name), mode)
		}
	}
}
