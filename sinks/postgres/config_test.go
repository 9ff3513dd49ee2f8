package postgres

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/apexsalesai/runmetrics/sinks"
)

func TestURLDecidesHowTheDriverTalks(t *testing.T) {
	const direct, pooler = "postgres://u:p@ep-x-1.eu.aws.neon.tech/db", "postgres://u:p@ep-x-1-pooler.eu.aws.neon.tech/db"
	for _, test := range []struct {
		url  string
		want pgx.QueryExecMode
	}{
		{direct, pgx.QueryExecModeCacheStatement},
		{pooler, pgx.QueryExecModeCacheDescribe},
		{pooler + "?default_query_exec_mode=exec", pgx.QueryExecModeExec},
		{direct + "?default_query_exec_mode=simple_protocol", pgx.QueryExecModeSimpleProtocol},
		{"host=ep-x-1-pooler.eu.aws.neon.tech user=u", pgx.QueryExecModeCacheDescribe},
		{"host=h user=u default_query_exec_mode=cache_describe", pgx.QueryExecModeCacheDescribe},
	} {
		config, err := parseConfig(test.url)
		if err != nil {
			t.Errorf("%s: %v", test.url, err)
			continue
		}
		if got := config.ConnConfig.DefaultQueryExecMode; got != test.want {
			t.Errorf("%s: %v, want %v", test.url, got, test.want)
		}
	}
}

func TestPoolLetsTheDatabaseSleep(t *testing.T) {
	config, err := parseConfig("postgres://u:p@ep-x-1-pooler.eu.aws.neon.tech/db")
	if err != nil {
		t.Fatal(err)
	}
	if config.MinConns != 0 || config.MinIdleConns != 0 {
		t.Error("the pool makes connections without being asked")
	}
	if config.MaxConnIdleTime > 2*time.Minute {
		t.Errorf("connections stay for %v, beyond the sleep of the database", config.MaxConnIdleTime)
	}
	// The pooler takes no other parameter than this one.
	if p := config.ConnConfig.RuntimeParams; len(p) != 1 || p["application_name"] != "runmetrics" {
		t.Errorf("startup parameters %v", p)
	}
}

func TestURLOverridesThePool(t *testing.T) {
	config, err := parseConfig("postgres://u:p@h/db?pool_max_conns=3&pool_max_conn_idle_time=7s&application_name=mine" +
		"&pool_max_conn_lifetime=9s&connect_timeout=4")
	if err != nil {
		t.Fatal(err)
	}
	if config.MaxConns != 3 || config.MaxConnIdleTime != 7*time.Second || config.MaxConnLifetime != 9*time.Second ||
		config.ConnConfig.ConnectTimeout != 4*time.Second || config.ConnConfig.RuntimeParams["application_name"] != "mine" {
		t.Errorf("%+v", config)
	}
}

func TestCommitDoesNotPingAConnectionInUse(t *testing.T) {
	idle := pgxpool.ShouldPingParams{IdleDuration: 5 * time.Second}
	commit := context.WithValue(t.Context(), committing{}, true)
	if shouldPing(commit, idle) {
		t.Error("a commit after 5 s takes two round trips")
	}
	if !shouldPing(t.Context(), idle) {
		t.Error("a reader gets a connection that may be dead")
	}
	if idle.IdleDuration = time.Minute; !shouldPing(commit, idle) {
		t.Error("a commit gets a connection that was idle for a minute")
	}
}

func TestMalformedURLIsRefusedWithoutItsPassword(t *testing.T) {
	for _, test := range []struct{ url, says string }{
		{"postgres://u:hunter2@h:port/db", "invalid port"},
		{"postgres://u:hun/ter2@h/db", "invalid port"},
		{"postgres://u:hunter2@h/db?sslmode=maybe", "sslmode"},
		{"postgres://u:hunter2@h/db?pool_max_conns=many", "pool_max_conns"},
		{"postgres://u:hunter2@h/db?sslrootcert=/does/not/exist&sslmode=verify-ca", "CA file"},
		{"postgres://u:hunter2@h/db?default_query_exec_mode=fast", "default_query_exec_mode"},
		{"postgres://u:hunter2@[::1/db", "must look like"},
		{"postgres://u:%zzhunter2@h/db", "must look like"},
		{"mysql://u:hunter2@h/db", "must look like"},
		{"host='h password=hunter2", "must look like"},
	} {
		_, err := Open(t.Context(), Config{URL: test.url})
		if !errors.Is(err, sinks.ErrBlocked) {
			t.Errorf("%s: %v", test.url, err)
			continue
		}
		if text := err.Error(); strings.Contains(text, "hunter2") || strings.Contains(text, "ter2") {
			t.Errorf("the password is in: %v", err)
		} else if !strings.Contains(text, test.says) {
			t.Errorf("%s: %v, should say %q", test.url, err, test.says)
		}
		if migrateErr := Migrate(t.Context(), test.url); migrateErr == nil || migrateErr.Error() != err.Error() {
			t.Errorf("Migrate says %v, Open %v", migrateErr, err)
		}
	}
}

func TestPoolerAndDirectHostAreOneDatabase(t *testing.T) {
	for _, url := range []string{
		"postgres://u:p@ep-x-1.eu.aws.neon.tech/db", "postgres://u:p@ep-x-1-pooler.eu.aws.neon.tech/db",
		"postgres://other:p@ep-x-1-pooler.eu.aws.neon.tech:5432/db?sslmode=require",
	} {
		store, err := Open(t.Context(), Config{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		if store.host != "ep-x-1.eu.aws.neon.tech:5432" || store.database != "db" {
			t.Errorf("%s: %s %s", url, store.host, store.database)
		}
		_ = store.Close()
	}
}
