package main

import (
	"strings"
	"testing"

	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

func TestOutsidePostgresIsSetUpOnceAndThenServed(t *testing.T) {
	t.Parallel()
	database := sinktest.StartPostgres(t, "fsync=off").CreateDatabase(t)
	b, environ := testBroker(t)
	environ = with(environ, map[string]string{"DATABASE_URL": database, "LOG_FORMAT": "json"})

	refused := call(t, environ, "", "run")
	refused.want(t, exitFailure)
	if !strings.Contains(refused.stderr, "runmetrics setup") {
		t.Errorf("an empty schema: %s", refused.stderr)
	}
	examine(t, environ, exitFailure).wantCheck(t, verdictFail, "database", "postgres", "lacks migration", ".sql", "runmetrics setup")
	dry := call(t, environ, "", "setup", "--dry-run")
	dry.want(t, exitOK)
	wantVerdicts(t, dry, map[string]string{"schema postgres": "would be changed", "stream RUN_EVENTS": "would be created",
		testConsumer: "depends on the database's identity", testMessages: "depends on the database's identity"})
	if !strings.Contains(dry.stdout, ".sql") {
		t.Errorf("does not name the migrations: %s", dry.stdout)
	}
	call(t, environ, "", "run").want(t, exitFailure) // nothing was migrated
	first := call(t, environ, "", "setup")
	first.want(t, exitOK)
	wantVerdicts(t, first, map[string]string{"schema postgres": "changed", "stream RUN_EVENTS": "created", testConsumer: "created", testMessages: "created"})
	second := call(t, environ, "", "setup")
	second.want(t, exitOK)
	wantVerdicts(t, second, map[string]string{"schema postgres": "unchanged", "stream RUN_EVENTS": "unchanged", testConsumer: "unchanged", testMessages: "unchanged"})
	healthy := examine(t, environ, exitOK)
	healthy.wantCheck(t, verdictOK, "database", "postgres", "it answers")
	healthy.wantCheck(t, verdictOK, "database", "stream RUN_EVENTS", "read through 0 of 0")

	p := startService(t, environ)
	at := p.up(t)
	call(t, map[string]string{"NATS_URL": b.URL()}, "", "publish", "--generate", "400").want(t, exitOK)
	eventually(t, "everything is committed", func() bool { return executions(list(t, at.API, "load-1")) == 390 })
	if code := p.stop(t); code != exitOK {
		t.Errorf("exit code %d: %s", code, p.stderr.String())
	}
}
