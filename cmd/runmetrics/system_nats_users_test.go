package main

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// testNATSUsers runs everything under the users of deploy/nats-users.conf: they lack nothing that it needs, and cannot do
// what would lose events.
func testNATSUsers(t *testing.T, s *system) {
	g := startGuarded(t)
	g.environ["DATABASE_URL"] = sinktest.StartPostgres(t, "fsync=off").CreateDatabase(t)
	g.environ["LOG_LEVEL"] = "debug"
	f := guardedWorld(t, s, g, g.address)
	const few, rate, n = 100, 2_000, 40_000 // 20 s, where taking over takes at most 10
	total := uint64(systemLoad.Len(n))
	f.agents.publish(t, systemLoad, few, 0).want(t, exitOK, patience)
	g.takePin(t)
	first, second := f.run(t), f.run(t)
	first.reaches(t, few, patience)
	if said := first.stderr.String() + second.stderr.String(); !strings.Contains(said, `"msg":"reset consumer"`) {
		t.Error("nobody has reset the consumer: that right was not used")
	}
	publisher := f.agents.publish(t, systemLoad, n, rate)
	until(t, patience, "one replica is active, the other stands by", func() bool {
		if first.ready(t).State == "standby" {
			first, second = second, first
		}
		return first.ready(t).State == "active" && second.ready(t).State == "standby"
	})
	first.reaches(t, total/20, patience)
	first.kill(t)
	took := second.takesOver(t, pinLife)
	third := f.run(t)
	third.becomes(t, "standby")
	second.terminate(t) // gives the pin back
	handedOver := third.takesOver(t, handOver)
	if publisher.over() {
		t.Fatal("the load was over before the replicas were")
	}
	if status := report(t, third.api, aReport, new(record)); status != http.StatusCreated {
		t.Errorf("POST says %d", status)
	}
	publisher.want(t, exitOK, patience)
	third.reaches(t, total+1, patience)
	third.wantOracle(t, systemLoad, n)
	for _, user := range []string{"processor", "operator"} {
		s.call(t, g.as(user), "doctor")
	}
	third.terminate(t)
	want := standingOf(systemLoad, n)
	want.sequence, want.applied = want.sequence+1, want.applied+1
	f.wantStanding(t, want)
	f.said.wantNoViolation(t)
	t.Logf("%d events by three users without a violation: taken over %s after kill -9, %s after SIGTERM", total,
		took.Round(time.Millisecond), handedOver.Round(time.Millisecond))

	g.wantHarmless(t, "publisher", "_INBOX_publish")
	g.wantHarmless(t, "processor", "_INBOX_main")
}

// wantHarmless fails the test unless the user is refused everything by which events could be lost or overheard.
func (g *guarded) wantHarmless(t *testing.T, user, inbox string) {
	t.Helper()
	conn := g.jetStream(t, user, inbox).Conn()
	const stream = "RUN_EVENTS"
	for _, subject := range []string{"STREAM.PURGE." + stream, "STREAM.DELETE." + stream, "STREAM.UPDATE." + stream,
		"STREAM.MSG.DELETE." + stream, "CONSUMER.DELETE." + stream + "." + consumer.ConsumerName("main"),
		"CONSUMER.CREATE." + stream + ".other", "STREAM.CREATE.OTHER"} {
		if err := errors.Join(conn.Publish(jetstream.DefaultAPIPrefix+subject, nil), conn.Flush()); err != nil {
			t.Fatal(err)
		}
		g.wantRefused(t, user, jetstream.DefaultAPIPrefix+subject)
	}
	for _, subject := range []string{"runs.>", "_INBOX.>", "$JS.API.>"} {
		if _, err := conn.SubscribeSync(subject); err != nil {
			t.Fatal(err)
		}
		if err := conn.Flush(); err != nil {
			t.Fatal(err)
		}
		g.wantRefused(t, user, subject)
	}
}

// wantRefused fails the test unless the server says that it refused the subject to the user.
func (g *guarded) wantRefused(t *testing.T, user, subject string) {
	t.Helper()
	for _, said := range g.said.refused() {
		if strings.Contains(said, user) && strings.Contains(said, `"`+subject+`"`) {
			return
		}
	}
	t.Errorf("%s was not refused %s: %q", user, subject, g.said.refused())
}
