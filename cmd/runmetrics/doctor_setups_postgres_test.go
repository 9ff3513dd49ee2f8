package main

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

func TestDoctorFindsWhatIsWrongWithPostgres(t *testing.T) {
	t.Parallel()
	notInShort(t)
	s := startDatabases(t)
	t.Run("each with a database of its own", func(t *testing.T) {
		testSetups(t, slices.Concat(s.unreachable(), s.unusable(), s.hampered(), s.ways()))
	})
	t.Run("the server does not sync", func(t *testing.T) { testSetups(t, []badSetup{s.unsynced()}) })
	t.Run("the server is a standby", func(t *testing.T) { testSetups(t, []badSetup{s.standby()}) })
}

// unsynced and standby are of the whole server, and come behind all others.
func (s *databases) unsynced() badSetup {
	return badSetup{"database: fsync is off", func(t *testing.T) *broken {
		name, environ := s.common()
		s.do(t, name, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
		return &broken{environ, func(t *testing.T, b *broken, fix string) {
			s.advisedSQL(name)(t, b, fix)
			eventually(t, "the server reads its settings", func() bool {
				return len(diagnose(t, b.environ).checks("database", "settings")) == 0
			})
		}}
	}, verdictWarn, "database", "settings", []string{"fsync is off"},
		[]string{"ALTER SYSTEM RESET fsync;", "pg_reload_conf"}}
}

func (s *databases) standby() badSetup {
	return badSetup{"database: a standby", func(t *testing.T) *broken {
		name, environ := s.common()
		s.do(t, name, "COPY (SELECT 1) TO PROGRAM 'cat > /dev/null; touch standby.signal'")
		s.server.Stop(t)
		s.server.Start(t)
		return &broken{environ, s.advisedSQL(name)}
	}, verdictFail, "database", "writes", []string{"is a standby"}, []string{"lead to the primary", "SELECT pg_promote();"}}
}

func (s *databases) unreachable() []badSetup {
	// elsewhere is a database whose URL is wrong in one part, which the advice is to correct.
	elsewhere := func(change func(*url.URL)) func(*testing.T) *broken {
		return func(*testing.T) *broken {
			_, environ := s.common()
			return &broken{edited(environ, change), set(map[string]string{"DATABASE_URL": environ["DATABASE_URL"]})}
		}
	}
	const area = "database"
	return []badSetup{
		{"database: the name is not known", elsewhere(toHost("nowhere.test")),
			verdictFail, area, "postgres", []string{"the name nowhere.test is not known"},
			[]string{"correct the host in DATABASE_URL", "getent hosts"}},
		{"database: nobody listens", elsewhere(func(u *url.URL) { u.Host = "127.0.0.1:1" }),
			verdictFail, area, "postgres", []string{"nobody listens at 127.0.0.1:1"}, []string{"start the database"}},
		{"database: no answer", func(t *testing.T) *broken {
			_, environ := s.common()
			silent := greeter(t, "")
			return &broken{edited(environ, func(u *url.URL) { u.Host = silent; withQuery(u, "connect_timeout", "1") }),
				set(map[string]string{"DATABASE_URL": environ["DATABASE_URL"]})}
		}, verdictFail, area, "postgres", []string{"gives no answer"}, []string{"nc -vz"}},
		{"database: wrong password", elsewhere(func(u *url.URL) {
			u.User = url.UserPassword(sinktest.PasswordRole,
				"hunter2")
		}),
			verdictFail, area, "postgres", []string{"the password of user needs_password is wrong"},
			[]string{"write the right one into DATABASE_URL"}},
		{"database: no such user", func(t *testing.T) *broken {
			name, environ := s.common()
			return &broken{edited(environ, func(u *url.URL) { u.User = url.User("nobody_" + name) }), s.advisedSQL(name)}
		}, verdictFail, area, "postgres", []string{"does not let user nobody_"}, []string{"CREATE ROLE"}},
		{"database: no such database", func(t *testing.T) *broken {
			name, environ := s.common()
			other := name + "_other"
			t.Cleanup(func() { s.do(t, "postgres", "DROP DATABASE IF EXISTS "+other+" WITH (FORCE)") })
			return &broken{edited(environ, func(u *url.URL) { u.Path = "/" + other }), s.advisedSQL("postgres")}
		}, verdictFail, area, "postgres", []string{"there is no database"},
			[]string{"CREATE DATABASE", "runmetrics setup"}},
		{"database: no connection left", func(t *testing.T) *broken {
			name, environ := s.common()
			role := s.role(t)
			s.do(t, "postgres", "ALTER ROLE "+role+" CONNECTION LIMIT 0")
			return &broken{edited(environ, func(u *url.URL) { u.User = url.User(role) }), s.advisedSQL(name)}
		}, verdictFail, area, "postgres", []string{"has no connection left"}, []string{"CONNECTION LIMIT -1"}},
		{"database: TLS where there is none", func(t *testing.T) *broken {
			_, environ := s.common()
			pooled := s.pooler.Route(t, environ["DATABASE_URL"])
			environ["DATABASE_URL"] = pooled
			return &broken{edited(environ, func(u *url.URL) { withQuery(u, "sslmode", "require") }),
				set(map[string]string{"DATABASE_URL": pooled})}
		}, verdictFail, area, "postgres", []string{"sslmode=require", "speaks no TLS"}, []string{"sslmode=disable"}},
		{"database: an authority that is not known", func(t *testing.T) *broken {
			_, environ := s.common()
			return &broken{edited(edited(environ, toHost("db.test")),
				func(u *url.URL) { withQuery(u, "sslmode", "verify-full") }),
				func(_ *testing.T, b *broken, _ string) {
					b.environ = edited(b.environ, func(u *url.URL) { withQuery(u, "sslrootcert", s.authority) })
				}}
		}, verdictFail, area, "postgres", []string{"an authority that this machine does not know"},
			[]string{"sslrootcert=FILE"}},
		{"database: a certificate for another name", func(t *testing.T) *broken {
			_, environ := s.common()
			return &broken{edited(environ, func(u *url.URL) {
				withQuery(u, "sslmode", "verify-full", "sslrootcert",
					s.authority)
			}),
				func(_ *testing.T, b *broken, _ string) { b.environ = edited(b.environ, toHost("db.test")) }}
		}, verdictFail, area, "postgres", []string{"is for db.test, "},
			[]string{"one of these names as the host in DATABASE_URL"}},
	}
}

func (s *databases) unusable() []badSetup {
	const area = "database"
	// set up, then broken by statements with the database's name in the place of %s.
	return []badSetup{
		{"database: no tables", func(t *testing.T) *broken {
			return &broken{with(s.nats, map[string]string{"DATABASE_URL": s.server.CreateDatabase(t),
				"DEPLOYMENT": "empty"}), runSetup}
		}, verdictFail, area, "postgres", []string{"lacks migration 00001"}, []string{"runmetrics setup"}},
		{"database: no tables, and no right to make them", func(t *testing.T) *broken {
			role := s.role(t)
			environ := with(s.nats, map[string]string{"DATABASE_URL": s.server.CreateDatabase(t), "DEPLOYMENT": "poor"})
			u, _ := url.Parse(environ["DATABASE_URL"])
			return &broken{edited(environ, func(u *url.URL) { u.User = url.User(role) }),
				func(t *testing.T, b *broken, fix string) {
					s.advisedSQL(strings.TrimPrefix(u.Path, "/"))(t, b, fix)
					runSetup(t, b, fix)
				}}
		}, verdictFail, area, "postgres", []string{"may make no tables in schema public"},
			[]string{"GRANT CREATE ON SCHEMA", "runmetrics setup"}},
		{"database: a later program's schema", func(t *testing.T) *broken {
			name, environ := s.database(t)
			s.do(t, name, "INSERT INTO runmetrics_migrations (version_id, is_applied) VALUES (99999, true)")
			return &broken{environ, func(t *testing.T, _ *broken,
				_ string) { // a newer program is not at hand: its migration is taken back
				s.do(t, name, "DELETE FROM runmetrics_migrations WHERE version_id = 99999")
			}}
		}, verdictFail, area, "postgres", []string{"99999", "use a newer program"}, nil},
		{"database: no rights", func(t *testing.T) *broken {
			name, environ := s.common()
			role := s.role(t)
			s.do(t, name, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO "+role)
			return &broken{edited(environ, func(u *url.URL) { u.User = url.User(role) }), s.advisedSQL(name)}
		}, verdictFail, area, "rights", []string{"lacks rights"}, []string{"GRANT INSERT, UPDATE ON", "campaign_metrics"}},
		{"database: no use of its schema", func(t *testing.T) *broken {
			name, environ := s.database(t)
			role := s.role(t)
			s.do(t, name, "REVOKE USAGE ON SCHEMA public FROM PUBLIC")
			return &broken{edited(environ, func(u *url.URL) { u.User = url.User(role) }), s.advisedSQL(name)}
		}, verdictFail, area, "rights", []string{"lacks rights"}, []string{"GRANT USAGE ON SCHEMA"}},
	}
}

// hampered are databases that are there and do not do all that is wanted.
func (s *databases) hampered() []badSetup {
	const area = "database"
	after := func(statements ...string) func(*testing.T) *broken {
		return func(t *testing.T) *broken {
			name, environ := s.database(t)
			for _, statement := range statements {
				s.do(t, name, strings.ReplaceAll(statement, "%s", name))
			}
			return &broken{environ, s.advisedSQL(name)}
		}
	}
	return []badSetup{
		{"database: read-only", after(`ALTER DATABASE %s SET default_transaction_read_only = on`),
			verdictFail, area, "writes", []string{"transactions are read-only"},
			[]string{"RESET default_transaction_read_only"}},
		{"database: statements are cut", func(t *testing.T) *broken {
			name, environ := s.common()
			role := s.role(t)
			s.do(t, name, "ALTER ROLE "+role+" SUPERUSER", "ALTER ROLE "+role+" SET statement_timeout = '2s'")
			return &broken{edited(environ, func(u *url.URL) { u.User = url.User(role) }), s.advisedSQL(name)}
		}, verdictWarn, area, "settings", []string{"statement_timeout is 2s"}, []string{"SET statement_timeout = '30s'"}},
		{"database: nearly as large as Neon allows", func(t *testing.T) *broken {
			name, environ := s.database(t)
			s.do(t, name, fmt.Sprintf(`ALTER DATABASE %s SET "neon.max_cluster_size" = '1MB'`, name))
			return &broken{environ, func(t *testing.T, _ *broken, _ string) { // the project's limit is raised
				s.do(t, name, fmt.Sprintf(`ALTER DATABASE %s SET "neon.max_cluster_size" = '10GB'`, name))
			}}
		}, verdictWarn, area, "room", []string{"that Neon allows"},
			[]string{"raise the project's limit", "runmetrics prune"}},
		{"database: no rights, and the service says so, too", func(t *testing.T) *broken {
			name, environ := s.database(t)
			role := s.role(t)
			s.do(t, name, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO "+role)
			environ = edited(environ, func(u *url.URL) { u.User = url.User(role) })
			api := startService(t, with(environ, map[string]string{"LOG_FORMAT": "json"})).up(t).API
			call(t, environ, eventLine("one"), "publish", "-").want(t, exitOK)
			eventually(t, "the service is blocked", func() bool {
				var state stateOf
				get(t, api+"/readyz", &state)
				return state.State == "blocked"
			})
			environ["HTTP_ADDR"] = strings.TrimPrefix(api, "http://")
			diagnose(t, environ).wantCheck(t, verdictFail, "http", "service", "is blocked: ", "permission denied",
				"mend what is named above")
			return &broken{environ, s.advisedSQL(name)}
		}, verdictFail, area, "rights", []string{"lacks rights"}, []string{"GRANT INSERT, UPDATE ON"}},
		{"clock: the database's", func(t *testing.T) *broken {
			name, environ := s.common()
			role := s.role(t)
			s.do(t, name, "CREATE SCHEMA late", "CREATE FUNCTION late.clock_timestamp() RETURNS timestamptz "+
				"LANGUAGE sql AS "+
				"$$SELECT pg_catalog.clock_timestamp() - interval '5 minutes'$$", "ALTER ROLE "+role+" SUPERUSER",
				"ALTER ROLE "+role+" SET search_path = late, pg_catalog, public")
			return &broken{edited(environ, func(u *url.URL) { u.User = url.User(role) }),
				func(t *testing.T, _ *broken, _ string) {
					s.do(t, name, "ALTER ROLE "+role+" RESET search_path")
				}}
		}, verdictWarn, "clock", "the database", []string{"5m0s behind"}, []string{"timedatectl set-ntp true"}},
	}
}

func (s *databases) ways() []badSetup {
	const area = "database"
	return []badSetup{
		{"database: TLS that checks nothing", func(t *testing.T) *broken {
			_, environ := s.databaseAt(t, directName)
			return &broken{edited(environ, func(u *url.URL) { withQuery(u, "sslmode", "require") }),
				func(_ *testing.T, b *broken, _ string) {
					b.environ = edited(b.environ, func(u *url.URL) {
						withQuery(u, "sslmode", "verify-full",
							"sslrootcert", s.authority)
					})
				}}
		}, verdictWarn, area, "TLS", []string{"has sslmode=require"}, []string{"sslmode=verify-full", "Neon's"}},
		{"database: Neon's pooler alone", func(t *testing.T) *broken {
			_, environ := s.databaseAt(t, directName)
			environ = edited(environ, func(u *url.URL) {
				withQuery(u, "sslmode", "verify-full", "sslrootcert",
					s.authority)
			})
			return &broken{edited(environ, toHost(neonHost)),
				set(map[string]string{"DATABASE_URL_DIRECT": environ["DATABASE_URL"]})}
		}, verdictWarn, area, "pooler", []string{"DATABASE_URL leads through a pooler"},
			[]string{"set DATABASE_URL_DIRECT"}},
		{"database: migrations through PgBouncer", func(t *testing.T) *broken {
			_, environ := s.common()
			pooled := s.pooler.Route(t, environ["DATABASE_URL"])
			return &broken{with(environ, map[string]string{"DATABASE_URL": pooled, "DATABASE_URL_DIRECT": pooled}),
				set(map[string]string{"DATABASE_URL_DIRECT": environ["DATABASE_URL"]})}
		}, verdictFail, area, "pooler", []string{"DATABASE_URL_DIRECT leads through a pooler"},
			[]string{"set DATABASE_URL_DIRECT to the server itself"}},
		{"database: migrations of another database", func(t *testing.T) *broken {
			_, environ := s.common()
			return &broken{with(environ, map[string]string{"DATABASE_URL_DIRECT": s.server.CreateDatabase(t)}),
				set(map[string]string{"DATABASE_URL_DIRECT": environ["DATABASE_URL"]})}
		}, verdictFail, area, "direct", []string{"leads to another database"}, []string{"name the same database"}},
		{"database: the direct way is away", func(t *testing.T) *broken {
			_, environ := s.common()
			return &broken{with(environ, map[string]string{"DATABASE_URL_DIRECT": "postgres://127.0.0.1:1/x"}),
				set(map[string]string{"DATABASE_URL_DIRECT": environ["DATABASE_URL"]})}
		}, verdictFail, area, "direct", []string{"DATABASE_URL_DIRECT: nobody listens"},
			[]string{"in DATABASE_URL_DIRECT"}},
	}
}
