package main

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/events"
)

// testAlerts causes what each alert is about in running services, which a real Prometheus watches by the shipped rules with
// quickened times. Before that none fires, under load and idle; then each fires, and clears when its cause is mended. The
// services are in worlds of their own, in which one thing after the other goes wrong, beside what goes wrong in the others.
func testAlerts(t *testing.T, s *system) {
	fromPrometheus(t, "prometheus")
	worlds := alertWorlds(t, s)
	jobs := make([]string, len(worlds))
	targets := make(map[string]int)
	for i, w := range worlds {
		jobs[i] = w.job
		targets[w.job] = len(w.services)
	}
	m := startMonitor(t, jobs)
	for _, w := range worlds {
		w.monitor = m
		m.watch(t, w.job, w.services...)
	}
	m.scraped(t, targets)
	wantQuiet(t, m, worlds)
	began := time.Now()
	afflict(t, m, worlds)
	t.Logf("all alerts fired and cleared in %s", since(began))
	wantAllFired(t, worlds)
}

// quietTime is longer than any alert of a backlog, of delays or of a copy that is behind waits when it is quickened.
const quietTime = 12 * time.Second

// wantQuiet fails the test if an alert fires under a load, or when it is over.
func wantQuiet(t *testing.T, m *monitor, worlds []*alertWorld) {
	t.Helper()
	var loads []*program
	for _, w := range worlds {
		const seconds = 10
		loads = append(loads, w.start(t, w.environ, "publish", "--generate", strconv.Itoa(seconds*w.rate),
			"--rate", strconv.Itoa(w.rate), "--seed", "7"))
	}
	for _, load := range loads {
		load.want(t, exitOK, patience)
	}
	<-time.After(quietTime)
	if fired := m.fired(t); len(fired) > 0 {
		t.Fatalf("with nothing amiss these fire: %q", fired)
	}
}

// affliction is something that goes wrong, and the alerts that are to say so.
type affliction struct {
	fault  string
	alerts []string // as alertID writes them, without the prefix Runmetrics
	begin  func(t *testing.T)
	end    func(t *testing.T) // takes the cause away; nil where time does

	began, ended time.Time
	fire, clear  map[string]time.Duration // from begin until it fires, and from end until it does not
}

// afflict causes all afflictions of all worlds, in each world one after the other.
func afflict(t *testing.T, m *monitor, worlds []*alertWorld) {
	t.Helper()
	const limit = 3 * time.Minute
	deadline := time.Now().Add(limit)
	for open := true; open; {
		open = false
		firing := m.firing(t)
		for _, w := range worlds {
			if w.step(t, firing[w.job]) {
				open = true
			}
		}
		if time.Now().After(deadline) {
			for _, w := range worlds {
				if w.now < len(w.afflictions) {
					a := w.afflictions[w.now]
					t.Errorf("not within %s: %s, %s: fired %v, cleared %v of %v", limit, w.job, a.fault, a.fire, a.clear, a.alerts)
				}
			}
			t.FailNow()
		}
		<-time.After(100 * time.Millisecond)
	}
}

// step takes the world's affliction under way a step further, and tells whether anything is left to happen.
func (w *alertWorld) step(t *testing.T, firing map[string]alert) bool {
	t.Helper()
	if w.now == len(w.afflictions) {
		return false
	}
	a := w.afflictions[w.now]
	if a.began.IsZero() {
		a.fire, a.clear = make(map[string]time.Duration), make(map[string]time.Duration)
		a.begin(t)
		a.began = time.Now()
		return true
	}
	for _, id := range a.alerts {
		got, fires := firing["Runmetrics"+id]
		if _, known := a.fire[id]; fires && !known {
			a.fire[id] = since(a.began)
			wantText(t, id, got)
		}
		if _, known := a.clear[id]; !fires && !known && !a.ended.IsZero() {
			a.clear[id] = since(a.ended)
		}
	}
	switch {
	case a.ended.IsZero() && len(a.fire) == len(a.alerts):
		if a.end != nil {
			a.end(t)
		}
		a.ended = time.Now()
	case len(a.clear) == len(a.alerts):
		for _, id := range a.alerts {
			t.Logf("%-32s %-44s fires after %6.1f s, clears after %6.1f s", id, a.fault, a.fire[id].Seconds(), a.clear[id].Seconds())
		}
		w.now++
	}
	return true
}

// wantText fails the test unless what an alert says is for people: its templates are filled in.
func wantText(t *testing.T, id string, a alert) {
	t.Helper()
	for name, text := range a.Annotations {
		for _, left := range []string{"{{", "}}", "<no value>", "<error", "%!"} {
			if text == "" || strings.Contains(text, left) {
				t.Errorf("%s: %s is %q", id, name, text)
			}
		}
	}
	t.Logf("%s: %s: %s", id, a.Annotations["summary"], a.Annotations["description"])
}

// wantAllFired fails the test unless every alert of rules.yml was among the afflictions.
func wantAllFired(t *testing.T, worlds []*alertWorld) {
	t.Helper()
	var fired []string
	for _, w := range worlds {
		for _, a := range w.afflictions {
			for _, id := range a.alerts {
				fired = append(fired, "Runmetrics"+id)
			}
		}
	}
	alerts, _ := shippedAlerts(t)
	for i := range alerts {
		if !slices.Contains(fired, alerts[i].id()) {
			t.Errorf("nobody caused %s", alerts[i].id())
		}
	}
}

// alertWorld is a world with its services, a job for Prometheus, and what is to go wrong there.
type alertWorld struct {
	*world
	job      string
	services []*program
	monitor  *monitor
	js       jetstream.JetStream
	rate     int // events a second of the load before anything goes wrong

	afflictions []*affliction
	now         int // which of them is under way
}

// inhabited starts services in a world.
func inhabited(t *testing.T, w *world, job string, services int) *alertWorld {
	t.Helper()
	a := &alertWorld{world: w, job: "runmetrics-" + job, js: jetStreamAt(t, w.environ["NATS_URL"]), rate: 20}
	for range services {
		a.services = append(a.services, a.run(t))
	}
	return a
}

// goesWrong adds an affliction.
func (w *alertWorld) goesWrong(fault, alerts string, begin, end func(t *testing.T)) {
	w.afflictions = append(w.afflictions, &affliction{fault: fault, alerts: strings.Split(alerts, ", "), begin: begin, end: end})
}

// restart stops the first service, does something, and starts it again, where Prometheus finds it.
func (w *alertWorld) restart(t *testing.T, meanwhile func()) {
	t.Helper()
	w.services[0].terminate(t)
	meanwhile()
	w.services[0] = w.run(t)
	w.monitor.watch(t, w.job, w.services...)
}

// publishes publishes n events, each of a run of its own.
func (w *alertWorld) publishes(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		e := execution(testKey(w.job+"-"+strconv.Itoa(i)), 1)
		e.ID += "-" + strconv.FormatInt(time.Now().UnixNano(), 36)
		w.send(t, &e)
	}
}

func (w *alertWorld) send(t *testing.T, e *events.Event) {
	t.Helper()
	if _, err := w.js.PublishMsg(t.Context(), eventMessage(e, events.Encode(e), "")); err != nil {
		t.Fatal(err)
	}
}
