package main

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/apexsalesai/runmetrics/events/publish"
)

// A stream that has forgotten the ids of messages stores them again when they are sent again. They are events that the
// service knows.
func TestWhatIsSentAgainAfterCutsIsCountedOnce(t *testing.T) {
	t.Parallel()
	const n, window = 1_500, 100 * time.Millisecond
	l := load{Seed: 7, Runs: 3, Agents: 100}
	service := startService(t, embedded(t))
	at := service.up(t)
	stream, err := jetStreamAt(t, at.NATS).Stream(t.Context(), "RUN_EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	forgetful := stream.CachedInfo().Config
	forgetful.Duplicates = window
	if stream, err = jetStreamAt(t, at.NATS).UpdateStream(t.Context(), forgetful); err != nil {
		t.Fatal(err)
	}
	between := startProxy(t, hosts(NewSecret(at.NATS)))
	conn, err := publish.Connect("nats://"+between.Addr().String(), nats.ReconnectWait(10*time.Millisecond), nats.ReconnectJitter(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p, err := publish.New(publish.Config{Conn: conn, MaxInFlight: 100})
	if err != nil {
		t.Fatal(err)
	}
	publishing := make(chan error, 1)
	go func() {
		for e := range l.All(n) {
			if err := p.Publish(t.Context(), &e); err != nil {
				publishing <- err
				return
			}
		}
		publishing <- p.Close(t.Context())
	}()
	for cut := range uint64(3) {
		until(t, patience, "some are stored", func() bool { return messages(t, stream) > 300*(cut+1) })
		// The stream gets what is under way, and has forgotten it when the publisher, which does not hear of it, asks again.
		between.each(func(l *link) { l.fromServer.Store(true) })
		deaf := time.Now()
		until(t, patience, "the stream has forgotten", func() bool { return time.Since(deaf) > 3*window })
		between.cut()
	}
	if err := <-publishing; err != nil {
		t.Fatal(err)
	}
	stored := messages(t, stream)
	if stored <= n {
		t.Errorf("nothing was stored again: the stream has %d messages of %d events", stored, n)
	}
	running := &program{api: at.API}
	running.reaches(t, stored, patience)
	running.wantOracle(t, l, n)
	t.Logf("%d events, %d messages", n, stored)
}
