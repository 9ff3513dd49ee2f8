package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// BenchmarkProcess measures what the program needs as it is deployed, a process beside a NATS server and Postgres, and as
// it runs without any settings, one process with both in it: processor time for a million events, memory, and how long
// nothing is committed after a kill -9 at full load. Each round has an empty database and reads the same stream: a fifth of
// it until the kill, and the rest of it with the processor's time looked at before and behind. Run it by `make bench`.
func BenchmarkProcess(b *testing.B) {
	rounds := int(setting(b, "RUNMETRICS_BENCH_ROUNDS", 5))
	w := newProcessWorld(b, setting(b, "RUNMETRICS_BENCH_EVENTS", 200_000))
	apart, inside := make(measures), make(measures)
	for b.Loop() {
		for i := range rounds {
			last := i == rounds-1
			w.bareRead(b, apart)
			w.round(b, w.apart(b), apart, last)
			w.round(b, w.inside(b), inside, last)
			fmt.Fprintf(os.Stderr, "round %d of %d: %.0f and %.0f events/s, %.0f and %.0f ms after kill -9\n", i+1, rounds,
				apart.newest(rowRate), inside.newest(rowRate), apart.newest(rowRecovery), inside.newest(rowRecovery))
		}
	}
	fmt.Printf("\n%d rounds of %d events, 10 agents a run, interleaved over 40 runs; medians (least to most)\n%s\n", rounds, w.total,
		table(apart, inside))
	b.ReportMetric(0, "ns/op")
}

// processWorld is what the rounds share. The stream lies in files: a NATS server of its own process serves them, and a
// service with one in it is given a copy.
type processWorld struct {
	system
	total    uint64 // events of the stream
	rounds   int    // with the NATS server, so far
	nats     *program
	natsURL  string
	files    string // a copy of the NATS server's
	postgres *sinktest.PostgresServer
}

func newProcessWorld(b *testing.B, total uint64) *processWorld {
	b.Helper()
	dir := b.TempDir()
	build := exec.Command("go", "build", "-o", dir, ".", "github.com/nats-io/nats-server/v2")
	if said, err := build.CombinedOutput(); err != nil {
		b.Fatalf("build: %v: %s", err, said)
	}
	w := &processWorld{system: system{binary: filepath.Join(dir, "runmetrics")}, total: total, postgres: sinktest.StartPostgres(b)}
	served := b.TempDir()
	w.startNATS(b, filepath.Join(dir, "nats-server"), served)
	w.connected(b, func(js jetstream.JetStream) { fillStream(b, js, load{Seed: 1, Runs: 40, Agents: 10}, int(total)) })
	w.nats.terminate(b)
	w.files = filepath.Join(b.TempDir(), "nats")
	if err := os.CopyFS(w.files, os.DirFS(served)); err != nil {
		b.Fatal(err)
	}
	w.startNATS(b, filepath.Join(dir, "nats-server"), served)
	fmt.Fprintf(os.Stderr, "a stream of %d events is there\n", total)
	return w
}

var natsListens = regexp.MustCompile(`Listening for client connections on (\S+)`)

// startNATS starts the NATS server as its users do, in a process of its own.
func (w *processWorld) startNATS(b *testing.B, binary, dir string) {
	b.Helper()
	server := system{binary: binary}
	w.nats = server.start(b, nil, "-a", "127.0.0.1", "-p", "-1", "-js", "-sd", dir)
	until(b, patience, "NATS is ready", func() bool {
		said := w.nats.stderr.String()
		if at := natsListens.FindStringSubmatch(said); at != nil {
			w.natsURL = "nats://" + at[1]
		}
		return strings.Contains(said, "Server is ready")
	})
}

// connected does something over a connection to the NATS server that lasts as long.
func (w *processWorld) connected(b *testing.B, do func(jetstream.JetStream)) {
	b.Helper()
	conn, err := nats.Connect(w.natsURL)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		b.Fatal(err)
	}
	do(js)
}

// bareRead lets a plain consumer read the stream and do nothing with it: what the NATS server needs for that is what no
// reader can save.
func (w *processWorld) bareRead(b *testing.B, m measures) {
	b.Helper()
	w.connected(b, func(js jetstream.JetStream) {
		c, err := js.CreateConsumer(b.Context(), "RUN_EVENTS", jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy})
		if err != nil {
			b.Fatal(err)
		}
		var seen atomic.Uint64
		before := w.nats.used(b)
		consume, err := c.Consume(func(jetstream.Msg) { seen.Add(1) }, jetstream.PullMaxMessages(10_000))
		if err != nil {
			b.Fatal(err)
		}
		defer consume.Stop()
		until(b, patience, "the stream is read", func() bool { return seen.Load() == w.total })
		m.add(rowBare, (w.nats.used(b)-before).Seconds()*1e6/float64(w.total))
	})
}

// deployment is one way to run the program.
type deployment struct {
	environ map[string]string
	beside  map[string]func() time.Duration // what the other processes have used so far, by row
}

// apart is the service beside the NATS server and Postgres, with an empty database.
func (w *processWorld) apart(b *testing.B) deployment {
	b.Helper()
	w.rounds++
	environ := map[string]string{"NATS_URL": w.natsURL, "DATABASE_URL": w.postgres.CreateDatabase(b), "DATA_DIR": b.TempDir(),
		"HTTP_ADDR": "127.0.0.1:0", "DEPLOYMENT": fmt.Sprintf("round-%d", w.rounds)}
	w.call(b, environ, "setup")
	return deployment{environ, map[string]func() time.Duration{
		rowBroker:   func() time.Duration { return w.nats.used(b) },
		rowDatabase: func() time.Duration { return w.postgres.ProcessorTime(b) },
	}}
}

// inside is the service with everything in it, as it runs without settings, but for the ports.
func (w *processWorld) inside(b *testing.B) deployment {
	b.Helper()
	dir := b.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "nats"), os.DirFS(w.files)); err != nil {
		b.Fatal(err)
	}
	return deployment{environ: map[string]string{"DATA_DIR": dir, "NATS_LISTEN": "127.0.0.1:0", "HTTP_ADDR": "127.0.0.1:0"}}
}

// round kills the service behind a fifth of the stream, starts it again at once, as a supervisor would, and lets it read
// the rest. In the end everything must have been counted once.
func (w *processWorld) round(b *testing.B, d deployment, m measures, idles bool) {
	b.Helper()
	p := w.serve(b, d.environ, "run")
	w.commits(b, p, w.total/5)
	killed := time.Now()
	p.kill(b)
	p = w.serve(b, with(d.environ, map[string]string{"LOG_LEVEL": "debug"}), "run") // which tells when it was aligned
	before := d.usedBy(b, p)
	from, again := w.recovers(b, p, killed, m)
	began := time.Now()
	w.commits(b, p, w.total)
	m.add(rowRate, float64(w.total-again)/time.Since(began).Seconds())
	m.addUsed(before, d.usedBy(b, p), w.total-from)
	m.add(rowPeak, float64(p.peakMemory(b))/1e6)
	if idles {
		<-time.After(idleAfter)
		m.add(rowIdle, float64(p.memory(b, "VmRSS"))/1e6)
	}
	p.terminate(b)
	w.wantApplied(b, d.environ)
}

// commits waits until a service has committed so far. It asks seldom, because answers cost processor time, too.
func (w *processWorld) commits(b *testing.B, p *program, sequence uint64) {
	b.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for p.position(b) < sequence {
		select {
		case <-tick.C:
		case <-deadline:
			b.Fatalf("%d of %d committed after %s", p.position(b), sequence, patience)
		}
	}
}

// recovers waits until a service that was started again commits, and adds how long each step of that took. It returns the
// position at which the service began, and the one that it reached.
func (w *processWorld) recovers(b *testing.B, p *program, killed time.Time, m measures) (from, reached uint64) {
	b.Helper()
	until(b, patience, "it commits again", func() bool {
		reached = p.position(b)
		if from == 0 {
			from = reached
		}
		return reached > from
	})
	committed := time.Now()
	running, aligned := p.logged(b, "running"), p.logged(b, "reset consumer")
	for row, took := range map[string]time.Duration{rowRecovery: committed.Sub(killed), rowStarted: running.Sub(killed),
		rowAligned: aligned.Sub(running), rowCommitted: committed.Sub(aligned)} {
		m.add(row, float64(took)/float64(time.Millisecond))
	}
	return from, reached
}

// wantApplied ends the benchmark unless the database says that each event of the stream was counted once.
func (w *processWorld) wantApplied(b *testing.B, environ map[string]string) {
	b.Helper()
	db := openDatabase(b, environ)
	defer db.Close()
	var sequence, applied uint64
	if err := db.QueryRowContext(b.Context(), "SELECT sequence, applied FROM stream_positions").Scan(&sequence, &applied); err != nil {
		b.Fatal(err)
	}
	if sequence != w.total || applied != w.total {
		b.Fatalf("%d events applied up to %d, want %d", applied, sequence, w.total)
	}
}
