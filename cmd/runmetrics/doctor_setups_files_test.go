package main

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"

	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// embeddedFile is a deployment with a SQLite file, and that file.
func embeddedFile(t *testing.T) (path string, environ map[string]string) {
	t.Helper()
	_, environ = setUpBroker(t)
	return filepath.Join(environ["DATA_DIR"], "runmetrics.db"), environ
}

// putAside follows the advice to move the file away and to make a new one.
func putAside(t *testing.T, b *broken, fix string) {
	t.Helper()
	runShell(t, fix, "mv")
	runSetup(t, b, fix)
}

func TestDoctorFindsWhatIsWrongWithFiles(t *testing.T) {
	t.Parallel()
	notInShort(t)
	const area = "database"
	testSetups(t, []badSetup{
		{"a file that is no database", func(t *testing.T) *broken {
			path, environ := embeddedFile(t)
			if err := os.WriteFile(path, []byte("<html>this is what the proxy said</html>"), 0o600); err != nil {
				t.Fatal(err)
			}
			return &broken{environ, putAside}
		}, verdictFail, area, "sqlite", []string{"is not a SQLite file"}, []string{"mv ", "put a backup in its place"}},
		{"a damaged file", func(t *testing.T) *broken {
			path, environ := embeddedFile(t)
			damage(t, path)
			return &broken{environ, putAside}
		}, verdictFail, area, "file", []string{"runmetrics.db"}, []string{"mv ", "put a backup in its place"}},
		{"a directory in the place of the file", func(t *testing.T) *broken {
			path, environ := embeddedFile(t)
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
			return &broken{environ, putAside}
		}, verdictFail, area, "sqlite", []string{"is a directory"}, []string{"mv "}},
		{"a file that another program has", func(t *testing.T) *broken {
			path, environ := embeddedFile(t)
			release := hold(t, path)
			return &broken{environ, func(*testing.T, *broken, string) { release() }}
		}, verdictFail, area, "file", []string{"database is locked"}, []string{"fuser -v "}},
		{"DATA_DIR is a file", func(t *testing.T) *broken {
			_, environ := setUpBroker(t)
			good := environ["DATA_DIR"]
			return &broken{with(environ, map[string]string{"DATA_DIR": writeFile(t, "")}),
				set(map[string]string{"DATA_DIR": good})}
		}, verdictFail, "disk", "DATA_DIR", []string{"is not a directory"}, []string{"set DATA_DIR to a directory"}},
		{"a full disk", func(t *testing.T) *broken {
			small, err := sinktest.SmallDisk(t, 20_000_000)
			if err != nil {
				missing(t, err.Error())
			}
			_, environ := setUpBroker(t)
			good := environ["DATA_DIR"]
			return &broken{with(environ, map[string]string{"DATA_DIR": small}), set(map[string]string{"DATA_DIR": good})}
		}, verdictFail, "disk", "DATA_DIR", []string{" free: soon nothing can be stored there"},
			[]string{"set DATA_DIR to a directory on a larger disk"}},
		{"a stream that may outgrow its disk", func(t *testing.T) *broken {
			disk, err := sinktest.SmallDisk(t, 3_000_000_000) // of memory, which takes only what is stored there
			if err != nil {
				missing(t, err.Error())
			}
			environ := embeddedService(t, map[string]string{"DATA_DIR": disk})
			call(t, environ, "", "setup", "--max-bytes", "50GB").want(t, exitOK)
			return &broken{environ, runSetup}
		}, verdictWarn, "disk", "stream RUN_EVENTS", []string{"it may still grow by 50 GB"},
			[]string{"runmetrics setup --max-bytes 1"}},
		{"events that are not synced", func(t *testing.T) *broken {
			environ := embeddedService(t, map[string]string{"NATS_SYNC": "1m"})
			return &broken{environ, set(map[string]string{"NATS_SYNC": "always"})}
		}, verdictWarn, "nats", "stream RUN_EVENTS", []string{"NATS_SYNC is 1m0s"}, []string{"set NATS_SYNC=always"}},
		{"NATS_LISTEN for everybody", func(t *testing.T) *broken {
			environ := map[string]string{"DATA_DIR": t.TempDir(), "NATS_LISTEN": "0.0.0.0:1", "HTTP_ADDR": "127.0.0.1:0"}
			return &broken{environ, set(map[string]string{"NATS_LISTEN": "127.0.0.1:1"})}
		}, verdictFail, "configuration", "NATS_LISTEN", []string{"can be reached from other machines"}, []string{"use a loopback address", "NATS_URL"}},
		{"two streams in the embedded server", func(t *testing.T) *broken {
			environ := map[string]string{"DATA_DIR": t.TempDir(), "NATS_LISTEN": "127.0.0.1:1",
				"HTTP_ADDR": "127.0.0.1:0", "STREAMS": "A,B"}
			return &broken{environ, set(map[string]string{"STREAMS": "A"})}
		}, verdictFail, "configuration", "STREAMS", []string{"must be one stream"}, []string{"set NATS_URL"}},
	})
}

// embeddedService runs a service with everything in it, where doctor finds it.
func embeddedService(t *testing.T, more map[string]string) map[string]string {
	t.Helper()
	environ := with(embedded(t), with(map[string]string{"NATS_LISTEN": idleAddress(t)}, more))
	startService(t, environ).up(t)
	return environ
}

// damage writes over all pages but the first.
func damage(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	for i := page; i < len(text); i++ {
		text[i] = 0xa5
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// hold takes a SQLite file for itself, as a tool does that somebody forgot to close.
func hold(t *testing.T, path string) (release func()) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=locking_mode(EXCLUSIVE)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	for _, statement := range []string{"PRAGMA journal_mode = DELETE", "BEGIN EXCLUSIVE"} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}
