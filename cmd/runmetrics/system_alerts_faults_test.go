package main

import (
	"strings"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks/dataverse/emulator"
)

// alertWorlds are the worlds in which things go wrong, with their services.
func alertWorlds(t *testing.T, s *system) []*alertWorld {
	t.Helper()
	return []*alertWorld{alertsOfPostgres(t, s), alertsOfGone(t, s), alertsOfLetters(t, s), alertsOfRoom(t, s),
		alertsOfLimits(t, s), alertsOfOutage(t, s), alertsOfSecret(t, s), alertsOfBudget(t, s)}
}

// alertsOfPostgres are two replicas on a database that goes away, becomes slow and takes back a right. Then one replica
// dies, and then both.
func alertsOfPostgres(t *testing.T, s *system) *alertWorld {
	t.Helper()
	h := s.onHostilePostgres(t).inhabit(t, "alerts")
	h.call(t, h.environ, "setup")
	w := inhabited(t, h.world, "postgres", 2)
	w.goesWrong("the database is stopped, events come", "NoProgress page, SinkFailing ticket reader", func(t *testing.T) {
		h.postgres.Stop(t)
		w.publishes(t, 20)
	}, func(t *testing.T) { h.postgres.Start(t) })

	var load *program
	w.goesWrong("each commit takes two seconds", "DelayHigh ticket", func(t *testing.T) {
		must(t, h.inside, `CREATE FUNCTION crawl() RETURNS trigger LANGUAGE plpgsql AS
			$$ BEGIN PERFORM pg_sleep(2); RETURN NEW; END $$`)
		must(t, h.inside, `CREATE TRIGGER crawl BEFORE UPDATE ON stream_positions FOR EACH ROW EXECUTE FUNCTION crawl()`)
		load = w.start(t, w.environ, "publish", "--generate", "10000", "--rate", "20", "--seed", "8")
	}, func(t *testing.T) {
		must(t, h.inside, `DROP TRIGGER crawl ON stream_positions`)
		load.kill(t)
	})

	right := h.lacksRight()
	w.goesWrong("a right in the database is revoked", "SinkBlocked page reader", func(t *testing.T) {
		right.begin(t)
		w.publishes(t, 5)
	}, right.end)

	begin := func(i int) {
		w.services[i] = w.run(t)
		w.monitor.watch(t, w.job, w.services...)
	}
	w.goesWrong("one of two replicas is killed", "ReplicaMissing ticket",
		func(t *testing.T) { w.services[0].kill(t) }, func(*testing.T) { begin(0) })
	w.goesWrong("both replicas are killed", "ReplicaMissing page", func(t *testing.T) {
		w.services[0].kill(t)
		w.services[1].kill(t)
	}, func(*testing.T) { begin(0); begin(1) })
	return w
}

func alertsOfGone(t *testing.T, s *system) *alertWorld {
	t.Helper()
	w := inhabited(t, s.onSQLite(t), "gone", 1)
	w.goesWrong("the stream is purged while nobody reads it", "EventsGone page", func(t *testing.T) {
		w.restart(t, func() {
			w.publishes(t, 30)
			stream, err := w.js.Stream(t.Context(), "RUN_EVENTS")
			if err == nil {
				err = stream.Purge(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
		})
		w.publishes(t, 1)
	}, nil)
	return w
}

func alertsOfLetters(t *testing.T, s *system) *alertWorld {
	t.Helper()
	w := inhabited(t, s.onSQLite(t), "letters", 1)
	w.goesWrong("six messages cannot be read", "DeadLettersGrowing ticket", func(t *testing.T) {
		for range 6 {
			if _, err := w.js.Publish(t.Context(), "runs.spring.broken", []byte("{")); err != nil {
				t.Fatal(err)
			}
		}
	}, nil)
	w.goesWrong("a figure is changed by hand; replay", "DriftFound ticket", func(t *testing.T) {
		must(t, openWritable(t, w.environ), `UPDATE campaign_metrics SET tokens_in = tokens_in + 1
			WHERE run_id = (SELECT min(run_id) FROM campaign_metrics)`)
		w.start(t, w.environ, "replay").want(t, exitLeftovers, patience)
	}, func(t *testing.T) { w.call(t, w.environ, "replay", "--apply") })
	return w
}

func alertsOfRoom(t *testing.T, s *system) *alertWorld {
	t.Helper()
	w := inhabited(t, s.onSQLite(t), "room", 1)
	w.goesWrong("events expire after three minutes", "StreamFilling ticket, StreamFilling page", func(t *testing.T) {
		stream, err := w.js.Stream(t.Context(), "RUN_EVENTS")
		if err != nil {
			t.Fatal(err)
		}
		config := stream.CachedInfo().Config
		config.MaxAge = 3 * time.Minute
		if _, err := w.js.UpdateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	}, func(t *testing.T) { w.call(t, w.environ, "setup") })
	return w
}

// ofDataverse is a world with a copy.
func ofDataverse(t *testing.T, s *system, job string) (*alertWorld, *emulator.Emulator) {
	t.Helper()
	o := s.onSQLite(t).withDataverse(t, emulator.Config{})
	return inhabited(t, o.world, job, 1), o.organization
}

func alertsOfLimits(t *testing.T, s *system) *alertWorld {
	t.Helper()
	w, organization := ofDataverse(t, s, "limits")
	w.goesWrong("Dataverse answers 429", "DataverseThrottled ticket", func(t *testing.T) {
		organization.Inject(emulator.Fault{Kind: "throttle", Path: "UpsertMultiple", RetryAfter: time.Second})
		w.publishes(t, 5)
	}, func(*testing.T) { organization.ClearFaults() })

	giant := execution(testKey("giant"), 0)
	giant.TokensIn = 1_000_000_000
	w.goesWrong("a run has more tokens than the column takes", "RowsRefused ticket", func(t *testing.T) {
		for _, id := range []string{"1", "2", "3"} {
			giant.ID, giant.AgentID = id, id
			w.send(t, &giant)
		}
	}, func(t *testing.T) {
		// A record that closes its run is sent at once, others ten minutes after they were refused.
		now := time.Now().UTC()
		w.send(t, &events.Event{Key: giant.Key, ID: "void", Type: events.ExecutionsVoided, OccurredAt: now, Voids: []string{"1"}})
		w.send(t, &events.Event{Key: giant.Key, ID: "end", Type: events.RunFinished, OccurredAt: now,
			Outcome: events.OutcomeCompleted})
	})
	return w
}

func alertsOfOutage(t *testing.T, s *system) *alertWorld {
	t.Helper()
	w, organization := ofDataverse(t, s, "outage")
	w.goesWrong("Dataverse answers 503", "DataverseBehind ticket, SinkFailing ticket dataverse", func(t *testing.T) {
		organization.Inject(emulator.Fault{Kind: "error", Path: "UpsertMultiple", Status: 503})
		w.publishes(t, 5)
	}, func(*testing.T) { organization.ClearFaults() })
	return w
}

func alertsOfSecret(t *testing.T, s *system) *alertWorld {
	t.Helper()
	w, organization := ofDataverse(t, s, "secret")
	w.goesWrong("the client secret is over", "SinkBlocked ticket dataverse", func(t *testing.T) {
		organization.Inject(emulator.Fault{Kind: "wrong-secret"})
		organization.Inject(emulator.Fault{Kind: "expired-token", Path: "UpsertMultiple", Times: 1})
		w.publishes(t, 5)
	}, func(*testing.T) { organization.ClearFaults() })
	w.goesWrong("NATS is stopped", "SinkFailing page nats", func(*testing.T) { w.broker.Stop() }, w.startsNATS)
	return w
}

// startsNATS starts the broker again where it was.
func (w *alertWorld) startsNATS(t *testing.T) {
	t.Helper()
	was := &Config{DataDir: strings.TrimSuffix(w.broker.server.StoreDir(), "/nats/jetstream"), Deployment: "test",
		NATSListen: strings.TrimPrefix(w.environ["NATS_URL"], "nats://")}
	again, err := startBroker(was, devSync, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Stop)
	w.broker = again
}

func alertsOfBudget(t *testing.T, s *system) *alertWorld {
	t.Helper()
	o := s.onSQLite(t).withDataverse(t, emulator.Config{})
	o.environ["DATAVERSE_DAILY_BUDGET"] = "300"
	w := inhabited(t, o.world, "budget", 1)
	w.rate = 2
	w.goesWrong("more runs than rows of the day", "BudgetUsed ticket",
		func(t *testing.T) { w.publishes(t, 400) },
		func(t *testing.T) { w.restart(t, func() { delete(w.environ, "DATAVERSE_DAILY_BUDGET") }) })
	return w
}
