package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/events"
)

// testPublishers tries what the developers of agent runtimes copy: compiled as strictly as TypeScript can, and run by Node
// with the real clients. RUNMETRICS_TEST_SEED repeats a load.
func testPublishers(t *testing.T, s *system) {
	dir := copyPublishers(t)
	for i, program := range blocks(readFile(t, publishingPage), "ts") { // what the page shows is compiled with the rest
		if err := os.WriteFile(filepath.Join(dir, "node", fmt.Sprintf("page%d.ts", i)), []byte(program), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	node(t, dir, nil, "node_modules/typescript/bin/tsc")
	w := &publishersWorld{dir: dir, system: s, seed: setting(t, "RUNMETRICS_TEST_SEED", 7)}
	t.Run("http-recipe", func(t *testing.T) {
		t.Parallel()
		w.node(t, "http/recipe.test.js")
	})
	t.Run("node-recipe", func(t *testing.T) {
		t.Parallel()
		g, api := guardedService(t)
		w.node(t, "node/recipe.test.js", "RUNMETRICS_URL="+api, "NATS_URL="+g.url("publisher"))
		g.said.wantNoViolation(t)
	})
	t.Run("loads", func(t *testing.T) {
		t.Parallel()
		w.startDev(t)
		w.testLoads(t)
		w.testMessages(t)
		w.node(t, "cloudevents/load.js", w.environ...)
	})
}

// publishersWorld is a real dev, and the compiled scripts that use it.
type publishersWorld struct {
	*system
	dir     string
	seed    uint64
	service map[string]string // environment of dev
	dev     *program
	environ []string // of scripts that use dev
}

// startDev starts dev on ports that it keeps when it is started again. Whoever asks it over HTTP needs a key.
func (w *publishersWorld) startDev(t *testing.T) {
	t.Helper()
	line, key := newStudioKey(t, "agents", "read,write")
	w.service = map[string]string{"DATA_DIR": t.TempDir(), "NATS_LISTEN": "127.0.0.1:0", "HTTP_ADDR": "127.0.0.1:0",
		"API_KEYS_FILE": writeFile(t, line)}
	w.dev = w.serve(t, w.service, "dev", "--no-agents")
	w.service["HTTP_ADDR"] = strings.TrimPrefix(w.dev.api, "http://")
	w.service["NATS_LISTEN"] = strings.TrimPrefix(w.dev.nats, "nats://")
	w.environ = []string{"RUNMETRICS_URL=" + w.dev.api, "RUNMETRICS_KEY=" + key, "NATS_URL=" + w.dev.nats,
		"SEED=" + strconv.FormatUint(w.seed, 10)}
}

// node runs a compiled script to its end, which must be a good one.
func (w *publishersWorld) node(t *testing.T, script string, environ ...string) {
	t.Helper()
	w.begin(t, script, environ...).end(t)
}

// testLoads has both recipes publish 1,000 executions of 100 runs each, at the same time. At half of it dev, which is the
// broker, too, goes away and comes back. The scripts compare every figure.
func (w *publishersWorld) testLoads(t *testing.T) {
	var loads []*script
	for _, name := range []string{"node/load.js", "http/load.js"} {
		loads = append(loads, w.begin(t, name, append(slices.Clone(w.environ), "CUT=1")...))
	}
	all := func(say string) {
		for _, load := range loads {
			until(t, patience, load.name+" says "+say, func() bool { return load.says(say) || load.over() })
		}
	}
	all("half\n")
	w.dev.terminate(t)
	all("cut\n")
	w.dev = w.serve(t, w.service, "dev", "--no-agents")
	for _, load := range loads {
		load.end(t)
	}
}

// testMessages looks at what came into the stream over NATS and over HTTP: subjects, message ids and ids as the contract
// has them. Copies that a load made on purpose have message ids of their own.
func (w *publishersWorld) testMessages(t *testing.T) {
	conn, err := nats.Connect(w.dev.nats)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "RUN_EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	last := stream.CachedInfo().State.LastSeq
	consumer, err := stream.OrderedConsumer(t.Context(), jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := consumer.Fetch(int(last))
	if err != nil {
		t.Fatal(err)
	}
	copies, long, traced, read := 0, 0, 0, uint64(0)
	for m := range batch.Messages() {
		read++
		id := m.Headers().Get(jetstream.MsgIDHeader)
		e, rejection := events.Decode(events.Message{Subject: m.Subject(), Header: m.Headers(), Data: m.Data()})
		switch {
		case rejection != nil:
			t.Errorf("%s: %v", id, rejection)
			continue
		case strings.HasPrefix(id, "copy "):
			copies++
		case m.Subject() != events.Subject(e.CampaignID, e.RunID) || id != events.MessageID(&e):
			t.Errorf("subject %s and message id %s of event %s of run %s of %s", m.Subject(), id, e.ID, e.RunID, e.CampaignID)
		}
		if m.Headers().Get("traceparent") == "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" {
			traced++
		}
		if name := fmt.Sprintf("%s/%d", e.AgentID, e.Attempt); len(name) > 128 && e.Type == events.AgentFinished {
			long++
			if want := uuid.NewSHA1(e.UUID(), []byte(name)).String(); e.ID != want {
				t.Errorf("%s has the id %s, want %s", name, e.ID, want)
			}
		}
	}
	t.Logf("%d messages, %d of them copies, %d of the agent whose name is long, %d traced", read, copies, long, traced)
	if read != last || copies < 100 || long < 20 || traced != 1000 || batch.Error() != nil {
		t.Errorf("of %d messages; %v", last, batch.Error())
	}
}

// script is a script that Node runs.
type script struct {
	name  string
	out   syncBuffer
	ended chan error
}

func (w *publishersWorld) begin(t *testing.T, name string, environ ...string) *script {
	t.Helper()
	keys, err := filepath.Abs("../../testdata/runkey.json")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	s := &script{name: name, ended: make(chan error, 1)}
	command := nodeCommand(ctx, w.dir, append(environ, "RUNKEYS="+keys), "--test-reporter=spec", "built/"+name)
	command.Stdout, command.Stderr = &s.out, &s.out
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer cancel()
		s.ended <- command.Wait()
	}()
	return s
}

func (s *script) says(part string) bool { return strings.Contains(s.out.String(), part) }

func (s *script) over() bool { return len(s.ended) > 0 }

// end waits for the end of the script, which must be a good one.
func (s *script) end(t *testing.T) {
	t.Helper()
	err := <-s.ended
	t.Logf("%s:\n%s", s.name, s.out.String())
	if err != nil {
		t.Errorf("%s: %v", s.name, err)
	}
}
