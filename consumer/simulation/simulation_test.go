package simulation

import (
	"context"
	"flag"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server/ats"
	"pgregory.net/rapid"

	"github.com/apexsalesai/runmetrics/sinks/postgres"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// TestMain starts the one goroutine that all NATS servers of a process share, outside of every bubble.
func TestMain(m *testing.M) {
	flag.Parse()
	preset("rapid.checks", func() string {
		if testing.Short() {
			return "25"
		}
		return "90"
	})
	preset("rapid.seed", func() string { return strconv.FormatUint(rand.Uint64(), 10) })
	ats.Register()
	sinktest.Main(m)
}

// preset gives a flag a value unless the command line does.
func preset(name string, value func() string) {
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == name })
	if !given {
		if err := flag.Set(name, value()); err != nil {
			panic(err)
		}
	}
}

func TestSimulationOnSQLite(t *testing.T) {
	simulate(t, openSQLite)
}

func TestSimulationOnPostgres(t *testing.T) {
	server := sinktest.SharedPostgres(t)
	dsn := server.CreateDatabase(t)
	if err := postgres.Migrate(t.Context(), dsn); err != nil {
		t.Fatal(err)
	}
	simulate(t, func(ctx context.Context, _ string) (*database, error) { return openPostgres(ctx, dsn) })
}

// simulate draws histories and plays each in a bubble of its own.
func simulate(t *testing.T, open func(ctx context.Context, dir string) (*database, error)) {
	t.Logf("-rapid.seed=%s", flag.Lookup("rapid.seed").Value)
	began, played, steps := time.Now(), 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		p := plans().Draw(rt, "plan")
		if err := inBubble(t, p, open); err != nil {
			rt.Fatalf("%v", err)
		}
		played, steps = played+1, steps+len(p.Steps)
	})
	t.Logf("%d histories, %d steps in %s", played, steps, time.Since(began).Round(time.Millisecond))
}

// inBubble plays a history in virtual time. Bubbles come one after the other.
func inBubble(t *testing.T, p plan, open func(ctx context.Context, dir string) (*database, error)) error {
	dir, err := os.MkdirTemp(roomy(), "simulation")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	// The NATS client keeps timers for later, which are of the bubble that made them: two collections empty a sync.Pool.
	runtime.GC()
	runtime.GC()
	synctest.Test(t, func(t *testing.T) {
		err = play(t.Context(), p, dir, func(ctx context.Context) (*database, error) { return open(ctx, dir) })
	})
	return err
}
