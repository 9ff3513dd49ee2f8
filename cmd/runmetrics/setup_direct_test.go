package main

import (
	"strings"
	"testing"

	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// TestSetupMigratesNoDatabaseThatIsNotMeant sets DATABASE_URL alone to a new database, as somebody does for a branch, where
// DATABASE_URL_DIRECT of production stands in the environment.
func TestSetupMigratesNoDatabaseThatIsNotMeant(t *testing.T) {
	t.Parallel()
	server := sinktest.StartPostgres(t, "fsync=off")
	production, branch := server.CreateDatabase(t), server.CreateDatabase(t)
	_, environ := testBroker(t)
	both := with(environ, map[string]string{"DATABASE_URL": production, "DATABASE_URL_DIRECT": production})
	for range 2 { // empty, and set up
		for _, mixed := range []map[string]string{{"DATABASE_URL": branch}, {"DATABASE_URL_DIRECT": branch}} {
			r := call(t, with(both, mixed), "", "setup")
			r.want(t, exitFailure)
			wantParts(t, r.stdout, "set both to the same one, or DATABASE_URL alone")
			if strings.Contains(r.stdout, "migration ") {
				t.Errorf("it migrated: %s", r.stdout)
			}
		}
		call(t, both, "", "setup").want(t, exitOK)
	}
	call(t, with(environ, map[string]string{"DATABASE_URL": branch, "DEPLOYMENT": "branch"}), "", "setup").want(t, exitOK)
}
