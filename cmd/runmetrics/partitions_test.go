package main

import (
	"fmt"
	"hash/fnv"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/events"
)

// fileBroker is a NATS server with a configuration file.
type fileBroker struct {
	*broker
	file, format string
}

// startFileBroker starts a server. The format has a place for mappings. The limits of all streams together are more than the
// server would allow on a small disk.
func startFileBroker(t *testing.T, format string) *fileBroker {
	t.Helper()
	dir := t.TempDir()
	b := &fileBroker{file: filepath.Join(dir, "nats.conf"),
		format: fmt.Sprintf("listen: '127.0.0.1:-1'\njetstream { store_dir: %q, max_file_store: 1TB }\n", dir) + format}
	b.write(t, "")
	options, err := server.ProcessConfigFile(b.file)
	if err != nil {
		t.Fatal(err)
	}
	options.NoSigs, options.NoLog = true, true
	s, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	b.broker = &broker{server: s}
	t.Cleanup(b.Stop)
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server is not ready")
	}
	return b
}

func (b *fileBroker) write(t *testing.T, mappings string) {
	t.Helper()
	if err := os.WriteFile(b.file, fmt.Appendf(nil, b.format, mappings), 0o600); err != nil {
		t.Fatal(err)
	}
}

// paste puts mappings into the file as they were printed, and reloads the server.
func (b *fileBroker) paste(t *testing.T, mappings string) {
	t.Helper()
	b.write(t, mappings)
	if err := b.server.Reload(); err != nil {
		t.Fatal(err)
	}
}

// printedMapping and printedStreams find what setup prints to be pasted elsewhere.
var (
	printedMapping = regexp.MustCompile(`(?m)^mappings \{\n  (.*)\n\}$`)
	printedStreams = regexp.MustCompile(`(?m)^STREAMS=(.*)$`)
)

// shared is what setup --streams says.
type shared struct {
	result
	mappings string // as they are printed
	mapping  string // the one in them
	streams  string
}

func share(t *testing.T, environ map[string]string, n int, args ...string) shared {
	t.Helper()
	r := call(t, environ, "", append([]string{"setup", "--streams", strconv.Itoa(n)}, args...)...)
	r.want(t, exitOK)
	mappings, streams := printedMapping.FindStringSubmatch(r.stdout), printedStreams.FindStringSubmatch(r.stdout)
	if mappings == nil || streams == nil {
		t.Fatalf("prints no mapping or no STREAMS:\n%s", r.stdout)
	}
	return shared{r, mappings[0], mappings[1], streams[1]}
}

// want fails the test unless it says whether the mapping is in force and prints these streams.
func (s shared) want(t *testing.T, mapping, streams string, parts ...string) {
	t.Helper()
	if got := verdicts(s.stdout)["mapping runs.*.*"]; got != mapping || s.streams != streams {
		t.Errorf("mapping %s, STREAMS=%s, want %s, %s", got, s.streams, mapping, streams)
	}
	wantParts(t, s.stdout, parts...)
}

// publishLoad publishes the first n events of a load.
func publishLoad(t *testing.T, environ map[string]string, l load, n int) {
	t.Helper()
	call(t, environ, "", "publish", "--generate", strconv.Itoa(n), "--seed", fmt.Sprint(l.Seed), "--runs", strconv.Itoa(l.Runs),
		"--agents", strconv.Itoa(l.Agents)).want(t, exitOK)
}

// runsIn returns in how many of the streams each run lies. Each stream must have got some.
func runsIn(t *testing.T, url, streams string) map[string]int {
	t.Helper()
	js := jetStreamAt(t, url)
	found := make(map[string]int)
	for name := range strings.SplitSeq(streams, ",") {
		stream, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter(">"))
		if err != nil {
			t.Fatal(err)
		}
		if len(info.State.Subjects) == 0 {
			t.Errorf("stream %s got nothing", name)
		}
		for subject := range info.State.Subjects {
			campaign, run, err := events.ParseSubject(subject)
			if err != nil {
				t.Fatal(err)
			}
			found[campaign+" "+run]++
		}
	}
	return found
}

// holds waits until the service has the records of the first n events of a load, and no others.
func (p *program) holds(t *testing.T, l load, n int) {
	t.Helper()
	var want int64
	for _, m := range oracle(l, n) {
		want += *m.Executions
	}
	eventually(t, "everything is committed", func() bool { return executions(list(t, p.api, l.At(0).CampaignID)) == want })
	p.wantOracle(t, l, n)
}

// TestTheEventsAreSharedAmongStreamsAsSetupPrintsIt walks the way from one stream to three and on to five, as an operator
// does, while events wait in the streams.
func TestTheEventsAreSharedAmongStreamsAsSetupPrintsIt(t *testing.T) {
	t.Parallel()
	b := startFileBroker(t, "accounts { EVENTS { jetstream: enabled, users: [{user: u, password: p}]\n%s\n} }")
	environ := map[string]string{"NATS_URL": strings.Replace(b.URL(), "//", "//u:p@", 1), "DATA_DIR": t.TempDir(),
		"HTTP_ADDR": "127.0.0.1:0", "LOG_FORMAT": "json"}
	const (
		three = "RUN_EVENTS_0,RUN_EVENTS_1,RUN_EVENTS_2"
		five  = three + ",RUN_EVENTS_3,RUN_EVENTS_4"
	)
	early, late := load{Seed: 11, Runs: 10, Agents: 5}, load{Seed: 12, Runs: 40, Agents: 5}
	call(t, environ, "", "setup").want(t, exitOK)
	publishLoad(t, environ, early, 100)

	share(t, environ, 3, "--dry-run").want(t, "is not in force yet", three+",RUN_EVENTS")
	said := share(t, environ, 3)
	said.want(t, "is not in force yet", three+",RUN_EVENTS", "subjects: runs.> → runs.*.*",
		"RUN_EVENTS is among them: it gets events as long as the mapping is not in force")
	environ["STREAMS"] = said.streams
	examine(t, environ, exitOK).wantCheck(t, verdictWarn, "nats", "publishing",
		"no events go to RUN_EVENTS_0 RUN_EVENTS_1 RUN_EVENTS_2", said.mapping)
	publishLoad(t, environ, early, 150)
	b.paste(t, said.mappings)
	said = share(t, environ, 3)
	said.want(t, "in force", three+",RUN_EVENTS", "RUN_EVENTS is among them: it holds 150 messages that the database has not")
	publishLoad(t, environ, late, 400)
	for run, n := range runsIn(t, environ["NATS_URL"], three) {
		if n != 1 {
			t.Errorf("run %s is in %d streams", run, n)
		}
	}

	p := startService(t, environ)
	served := &program{api: p.up(t).API}
	served.holds(t, early, 150)
	served.holds(t, late, 400)
	served.answersReports(t)
	examine(t, environ, exitOK).wantCheck(t, verdictOK, "nats", "publishing",
		"events go to RUN_EVENTS_0 RUN_EVENTS_1 RUN_EVENTS_2")
	p.stop(t)
	said = share(t, environ, 3)
	said.want(t, "in force", three, "RUN_EVENTS is left out: it gets no more events, and the database has all of it")
	environ["STREAMS"] = said.streams

	// Runs that began in one of three streams go on in another of five, and what is sent again is stored again there.
	b.paste(t, share(t, environ, 5).mappings)
	examine(t, environ, exitOK).wantCheck(t, verdictWarn, "nats", "publishing",
		"events go to RUN_EVENTS_3 RUN_EVENTS_4, not in STREAMS")
	said = share(t, environ, 5)
	said.want(t, "in force", five)
	environ["STREAMS"] = said.streams
	publishLoad(t, environ, late, 700)
	if moved := slices.Max(slices.Collect(maps.Values(runsIn(t, environ["NATS_URL"], five)))); moved != 2 {
		t.Errorf("a run is in %d streams", moved)
	}
	served = &program{api: startService(t, environ).up(t).API}
	served.holds(t, late, 700)
}

// answersReports posts as many reports as it takes for several streams, each of which must be answered with its record.
func (p *program) answersReports(t *testing.T) {
	t.Helper()
	for i := range 12 {
		var got record
		run := fmt.Sprintf("posted-%d", i)
		status := report(t, p.api, fmt.Sprintf(`{"campaignId":"c","runId":%q,"phase":"1","agentsTotal":1,"agentsSuccessful":1,
			"assetsGenerated":1,"tokensIn":1,"tokensOut":1,"costUSD":1,"latencyP95Ms":1,"latencyAvgMs":1}`, run), &got)
		if status != http.StatusCreated || got.RunID != run {
			t.Errorf("POST of %s: %d, %+v", run, status, got)
		}
	}
}

func TestThePrintedMappingMayStandAtTheTop(t *testing.T) {
	t.Parallel()
	b := startFileBroker(t, "%s\n")
	environ := map[string]string{"NATS_URL": b.URL(), "DATA_DIR": t.TempDir(), "STREAMS": "AGENTS_0,AGENTS_1,AGENTS_2"}
	call(t, environ, "", "setup").want(t, exitOK) // makes them without --streams as well
	examine(t, environ, exitFailure).wantCheck(t, verdictFail, "nats", "publishing",
		"no stream takes the events of some runs", "partition(3,1,2)")

	said := share(t, environ, 2)
	said.want(t, "is not in force yet", "AGENTS_0,AGENTS_1,AGENTS_2", "AGENTS_2 is among them")
	b.paste(t, said.mappings)
	said = share(t, environ, 2)
	said.want(t, "in force", "AGENTS_0,AGENTS_1", "AGENTS_2 is left out")
	examine(t, environ, exitOK).wantCheck(t, verdictWarn, "nats", "publishing", "no events go to AGENTS_2")
	environ["STREAMS"] = said.streams
	examine(t, environ, exitOK).wantCheck(t, verdictOK, "nats", "publishing", "events go to AGENTS_0 AGENTS_1")
	environ["STREAMS"] = "AGENTS_0"
	d := examine(t, environ, exitOK)
	d.wantCheck(t, verdictWarn, "nats", "publishing", "events go to AGENTS_1, not in STREAMS")
}

// A stream that stands in the way is named, and how it goes out of it.
func TestSetupSaysWhenAStreamHasTheSubjectsOfPartitions(t *testing.T) {
	t.Parallel()
	_, environ := testBroker(t)
	call(t, environ, "", "setup").want(t, exitOK)
	r := call(t, with(environ, map[string]string{"STREAMS": "RUN_EVENTS_0,RUN_EVENTS_1"}), "", "setup")
	r.want(t, exitFailure)
	wantParts(t, verdicts(r.stdout)["stream RUN_EVENTS_0"], "failed: ", "overlap", "setup --streams")
	for _, n := range []string{"1", "-1", "257", "many"} {
		call(t, environ, "", "setup", "--streams", n).want(t, exitUsage)
	}
	embedded := call(t, with(environ, map[string]string{"NATS_URL": ""}), "", "setup", "--streams", "2")
	embedded.want(t, exitUsage)
	wantParts(t, embedded.stderr, "NATS_URL", "maps subjects")
}

// TestEveryPartitionIsProbed by the server's hash, FNV-1a.
func TestEveryPartitionIsProbed(t *testing.T) {
	t.Parallel()
	for n := 2; n <= maxPartitions; n++ {
		hit := make(map[uint32]bool)
		for i := range n * probesEach {
			hash := fnv.New32a()
			fmt.Fprint(hash, strings.ReplaceAll(strings.TrimPrefix(probeSubject(i), "runs."), ".", ""))
			hit[hash.Sum32()%uint32(n)] = true
		}
		if len(hit) != n {
			t.Errorf("%d of %d partitions are probed", len(hit), n)
		}
	}
}
