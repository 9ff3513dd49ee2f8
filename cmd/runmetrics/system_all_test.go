package main

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// TestSystem holds the program to its README as its users meet it: built by go build, as processes of its own, over TCP
// and HTTP, with real databases. Each test says with -v what it did and measured.
func TestSystem(t *testing.T) {
	t.Parallel()
	s := &system{binary: filepath.Join(t.TempDir(), "runmetrics")}
	if said, err := exec.Command("go", "build", "-o", s.binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, said)
	}
	for _, test := range systemTests {
		t.Run(test.name, func(t *testing.T) {
			if test.heavy && testing.Short() {
				t.Skip("-short leaves out what takes tens of seconds")
			}
			t.Parallel()
			test.run(t, s)
		})
	}
}

// system is what the tests share: the built program.
type system struct {
	binary string
}

// systemTests are in files named after them. The longest come first, as two run at a time on a small machine.
var systemTests = []struct {
	name  string
	heavy bool
	run   func(t *testing.T, s *system)
}{
	{name: "idle", heavy: true, run: testIdle},
	{name: "alerts", heavy: true, run: testAlerts},
	{name: "dataverse-load", heavy: true, run: testDataverseLoad},
	{name: "kill", heavy: true, run: testKill},
	{name: "dataverse-stop", heavy: true, run: testDataverseStop},
	{name: "dataverse-kill", heavy: true, run: testDataverseKill},
	{name: "outage", heavy: true, run: testOutage},
	{name: "streams", heavy: true, run: testStreams},
	{name: "takeover", heavy: true, run: testTakeover},
	{name: "restore", heavy: true, run: testRestore},
	{name: "replicas", heavy: true, run: testReplicas},
	{name: "live", heavy: true, run: testLive},
	{name: "hostile-postgres", heavy: true, run: testHostilePostgres},
	{name: "hostile-pgbouncer", heavy: true, run: testHostilePgBouncer},
	{name: "hostile-blocked", heavy: true, run: testHostileBlocked},
	{name: "hostile-disk", heavy: true, run: testHostileDisk},
	{name: "nats-faults", heavy: true, run: testNATSFaults},
	{name: "nats-users", heavy: true, run: testNATSUsers},
	{name: "hang", heavy: true, run: testHang},
	{name: "replay-kill", heavy: true, run: testReplayKill},
	{name: "runbooks", heavy: true, run: testRunbooks},
	{name: "operators", heavy: true, run: testOperatorsPage},
	{name: "publishers", heavy: true, run: testPublishers},
	{name: "replay-many", heavy: true, run: testReplayMany},
	{name: "collector", heavy: true, run: testCollector},
	{name: "flood", heavy: true, run: testFlood},
	{name: "many-runs", heavy: true, run: testManyRuns},
	{name: "giant-run", heavy: true, run: testGiantRun},
	{name: "drain", run: testDrain},
	{name: "dataverse-secret", run: testDataverseSecret},
	{name: "benchmark", run: testBenchmark},
	{name: "copy", run: testCopy},
	{name: "telemetry", run: testTelemetry},
	{name: "series", heavy: true, run: testSeries},
	{name: "trace", run: testTrace},
	{name: "readme", run: testReadme},
	{name: "odd", run: testOdd},
}
