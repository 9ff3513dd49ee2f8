package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apexsalesai/runmetrics/events"
)

func TestReplayNamesWhatIsWrongOnItsCommandLine(t *testing.T) {
	t.Parallel()
	_, environ := setUp(t)
	for args, want := range map[string]string{
		"replay --from 2026-03-02 --to 2026-03-01":         "--to must be later than --from",
		"replay --from-seq 9 --to-seq 8":                   "--to-seq must not be less",
		"replay --stream OTHER":                            "OTHER is not one of STREAMS: RUN_EVENTS",
		"replay a.ndjson --from 2026-03-01":                "name a --stream",
		"replay --dataverse later":                         "must be now, slow or skip",
		"replay --rate -1":                                 "--rate must not be negative",
		"replay --resume x":                                "is not what replay printed",
		"replay --resume x --campaign c":                   "leave out what selects",
		"rebuild --limit -1":                               "--limit must not be negative",
		"rebuild x":                                        "unknown command",
		"replay --from yesterday":                          "write a time such as",
		"rebuild --resume eyJjb21tYW5kIjoicmVwbGF5In0":     "is not what rebuild printed",
		"replay --resume eyJjb21tYW5kIjoicmVwbGF5IiwiZGF0": "is not what replay printed, or not all of it",
		"replay --resume eyJjb21tYW5kIjoicmVwbGF5In0":      "not of",
	} {
		r := call(t, environ, "", strings.Fields(args)...)
		if r.code != exitUsage || !strings.Contains(r.stderr, want) {
			t.Errorf("%s ends with %d, does not say %q: %s", args, r.code, want, r.stderr)
		}
	}
	r := call(t, environ, "", "replay", filepath.Join(t.TempDir(), "none.ndjson"))
	if r.code != exitFailure || !strings.Contains(r.stderr, "none.ndjson") || r.stdout != "" {
		t.Errorf("a file that is not there: %d, %s%s", r.code, r.stdout, r.stderr)
	}
}

func TestReplayLeavesToTheServiceWhatItHasNotRead(t *testing.T) {
	t.Parallel()
	b, environ := setUp(t)
	list := tale(seededRandom(t), 60)
	// Nobody has read the stream: all of it is missing.
	js := testJetStream(t, b)
	publish := func(part []events.Event) {
		t.Helper()
		for i := range part {
			if _, err := js.PublishMsg(t.Context(), eventMessage(&part[i], events.Encode(&part[i]), "")); err != nil {
				t.Fatal(err)
			}
		}
	}
	publish(list[:40])
	call(t, environ, "", "replay").want(t, exitLeftovers)
	readOut(t, b, environ)
	publish(list[40:])
	var report compareReport
	r := call(t, environ, "", "replay", "--output", "json")
	r.want(t, exitOK)
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
		t.Fatal(err)
	}
	if report.Unread != 20 || report.Counts.Messages != 40 || report.Counts.Equal != report.Counts.Runs {
		t.Errorf("%s", r.stdout)
	}
	if text := call(t, environ, "", "replay").stdout; !strings.Contains(text, "20 messages are not read by the service yet") {
		t.Errorf("%s", text)
	}
}

// TestRepairedRunsAreCopiedWhenItIsSaid looks at the marks in the outbox.
func TestRepairedRunsAreCopiedWhenItIsSaid(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]struct{ marked, times int }{"now": {30, 1}, "slow": {30, 30}, "skip": {0, 0}} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			_, environ := setUp(t)
			maps.Copy(environ, emulatorEnviron("http://127.0.0.1:9"))
			environ["USE_DATAVERSE"] = "true"
			var archive strings.Builder
			for i := range 30 {
				archive.WriteString(finishedLine("run "+string(rune('a'+i)), i))
			}
			file := filepath.Join(t.TempDir(), "archive.ndjson")
			if err := os.WriteFile(file, []byte(archive.String()), 0o600); err != nil {
				t.Fatal(err)
			}
			call(t, environ, "", "replay", file, "--apply", "--dataverse", mode).want(t, exitOK)
			db := openDatabase(t, environ)
			defer db.Close()
			var marked, times int
			err := db.QueryRowContext(t.Context(), "SELECT count(*), count(DISTINCT due_at) FROM dataverse_outbox WHERE pending").Scan(&marked, &times)
			if err != nil || marked != want.marked || times != want.times {
				t.Errorf("%d runs wait, due at %d times, want %d and %d: %v", marked, times, want.marked, want.times, err)
			}
		})
	}
}
