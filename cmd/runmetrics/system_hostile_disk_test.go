package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// testHostileDisk fills the disk under the embedded store, where the machine lets the test mount one.
func testHostileDisk(t *testing.T, s *system) {
	dir, err := sinktest.SmallDisk(t, 32<<20)
	if err != nil {
		t.Logf("nothing was tried, because of: %v", err)
		return
	}
	b, environ := testBroker(t)
	w := &world{system: s, broker: b, environ: with(environ, map[string]string{"DATA_DIR": dir})}
	w.call(t, w.environ, "setup")
	h := &hostile{world: w, name: "sqlite", service: w.run(t)}
	f := w.feed(t, hostileLoad, 500)
	h.suffers(t, diskFull(dir, "database or disk is full"))
	f.stop()
	h.wantAll(t, f)
}

// diskFull fills the disk on which the directory is.
func diskFull(dir, says string) trouble {
	ballast := filepath.Join(dir, "ballast")
	return trouble{name: "disk full", state: "degraded", says: says, begin: func(t *testing.T) { fill(t, ballast) },
		end: func(t *testing.T) {
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
		}}
}

// fill writes a file until nothing more fits onto its disk.
func fill(t *testing.T, path string) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for block := make([]byte, 1<<16); len(block) > 0; {
		if _, err = file.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
}
