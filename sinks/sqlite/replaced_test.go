package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// A backup that takes the place of a file in use: nothing is committed any more to what has no name, and the next start
// finds the backup as it was saved.
func TestAFileThatWasReplacedInUseIsSaidAndLeftAlone(t *testing.T) {
	for name, replace := range map[string]func(path string) error{
		"moved over": func(path string) error { return os.Rename(path+".backup", path) },
		"removed, with its log, and copied": func(path string) error {
			for _, suffix := range []string{"", logSuffix, indexSuffix} {
				if err := os.Remove(path + suffix); err != nil {
					return err
				}
			}
			return os.Rename(path+".backup", path)
		},
		"moved away": func(path string) error {
			if err := os.Rename(path, path+".old"); err != nil {
				return err
			}
			return os.Rename(path+".backup", path)
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.db")
			s, w := withBackup(t, path)
			if err := replace(path); err != nil {
				t.Fatal(err)
			}
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			_, read := s.Position(t.Context(), "S")
			for _, err := range []error{w.Write(t.Context(), event("never")), read} {
				if !errors.Is(err, sinks.ErrBlocked) || !strings.Contains(err.Error(), path) {
					t.Errorf("error %v", err)
				}
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if after, _ := os.ReadFile(path); string(after) != string(before) {
				t.Error("the file that took the place was touched")
			}
			wantBackup(t, path)
		})
	}
}

func TestAFileThatWasRemovedInUseIsSaid(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	s, w := withBackup(t, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(t.Context(), event("never")); !errors.Is(err, sinks.ErrBlocked) {
		t.Errorf("error %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := os.Rename(path+".backup", path); err != nil {
		t.Fatal(err)
	}
	wantBackup(t, path)
}

// withBackup makes a database that went on after it was saved, in part in its file and in part in its log.
func withBackup(t *testing.T, path string) (*Store, *sinktest.Writer) {
	t.Helper()
	s, err := Open(t.Context(), Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	w := sinktest.NewWriter(t, s, "S")
	write(t, w, "1")
	write(t, w, "2")
	if _, err := s.writer.Exec("VACUUM INTO '" + path + ".backup'"); err != nil {
		t.Fatal(err)
	}
	write(t, w, "3")
	if _, err := s.writer.Exec("PRAGMA wal_checkpoint(RESTART)"); err != nil {
		t.Fatal(err)
	}
	write(t, w, "4")
	return s, w
}

func wantBackup(t *testing.T, path string) {
	t.Helper()
	s := openAt(t, path)
	if p, err := s.Position(t.Context(), "S"); err != nil || p.Sequence != 2 {
		t.Errorf("position %+v, %v", p, err)
	}
	var sound string
	if err := s.reader.QueryRow("PRAGMA integrity_check").Scan(&sound); err != nil || sound != "ok" {
		t.Errorf("integrity: %s, %v", sound, err)
	}
}
