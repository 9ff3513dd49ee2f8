package dataverse

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks/dataverse/emulator"
)

// definition makes the organization's definitions say something else from when the returned func is called, or until then.
func (w *world) definition(is, shown string, from bool) (change func()) {
	var changed atomic.Bool
	h := w.network.server.Handler
	w.network.server.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if changed.Load() != from || !strings.Contains(r.URL.Path, "EntityDefinitions") {
			h.ServeHTTP(rw, r)
			return
		}
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, r)
		rw.WriteHeader(answer.Code)
		_, _ = rw.Write(bytes.ReplaceAll(answer.Body.Bytes(), []byte(is), []byte(shown)))
	})
	return func() { changed.Store(true) }
}

// refuse refuses requests with rows that the func says no to.
func (w *world) refuse(status int, code string, no func(path, body string) bool) {
	h := w.network.server.Handler
	w.network.server.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		if strings.HasSuffix(r.URL.Path, "UpsertMultiple") && no(r.URL.Path, string(body)) {
			rw.WriteHeader(status)
			fmt.Fprintf(rw, `{"error":{"code":%q,"message":"refused"}}`, code)
			return
		}
		h.ServeHTTP(rw, r)
	})
}

// TestRowThatDidNotFitIsTakenWhenItsColumnIsWidened, though Dataverse never saw it and so never refused it.
func TestRowThatDidNotFitIsTakenWhenItsColumnIsWidened(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		widen := w.definition("99999.99999", "50", false)
		w.start(nil).Own(true)
		rich := execution("rich", 0)
		rich.Cost = events.USD(60 * events.NanosPerUSD)
		w.commit(rich)
		w.settled()
		if n := w.standing().Parked; n != 1 {
			t.Fatalf("%d parked", n)
		}
		time.Sleep(tableTime)
		widen()
		w.commit(closing("rich"))
		w.eventually(time.Minute, "it is taken", func() bool { return w.copied("rich") })
	})
}

// TestDigitsOfAColumnAreNoticed within ten minutes: rows are right by the definition of before, and wrong.
func TestDigitsOfAColumnAreNoticed(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		add := w.definition(`"Precision":5`, `"Precision":2`, false)
		w.start(nil).Own(true)
		w.commit(execution("a", 0))
		w.settled()
		if w.copied("a") {
			t.Fatal("the row has five digits")
		}
		add()
		time.Sleep(longestTable)
		w.commit(execution("a", 1))
		w.settled()
		if !w.copied("a") {
			t.Error("the row is still rounded")
		}
	})
}

// TestRowsAreMadeAnewWhenTheTableHasChanged: those that were made before are refused, and pass as it is now.
func TestRowsAreMadeAnewWhenTheTableHasChanged(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		var short atomic.Bool
		shorten := w.definition(`"MaxLength":200`, `"MaxLength":10`, true)
		w.refuse(http.StatusBadRequest, "0x80044331", func(_, body string) bool {
			return short.Load() && strings.Contains(body, "campaign · run-0 · 1")
		})
		w.start(nil).Own(true)
		w.commit(execution("run-0", 0))
		w.settled()
		time.Sleep(tableTime)
		shorten()
		short.Store(true)
		w.commit(closing("run-0"))
		w.settled()
		if !w.copied("run-0") || w.standing().Parked > 0 {
			t.Errorf("%+v", w.processes[0].Status())
		}
	})
}

// TestEntitySetGetsAnotherName: what is not found is looked for.
func TestEntitySetGetsAnotherName(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		var renamed atomic.Bool
		rename := w.definition(`"EntitySetName":"`+testSet, `"EntitySetName":"apex_renamed`, true)
		h := w.network.server.Handler
		w.network.server.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			r.URL.Path = strings.Replace(r.URL.Path, "apex_renamed", testSet, 1)
			h.ServeHTTP(rw, r)
		})
		w.refuse(http.StatusNotFound, "0x80060888", func(path, _ string) bool {
			return renamed.Load() == strings.Contains(path, testSet)
		})
		w.start(nil).Own(true)
		w.commit(execution("a", 0))
		w.settled()
		time.Sleep(tableTime)
		rename()
		renamed.Store(true)
		w.commit(execution("a", 1))
		w.eventually(time.Minute, "the row is up to date", func() bool { return w.copied("a") })
	})
}

// TestDefinitionThatCannotBeReadParksNothing: the row may be refused for the column that is not there.
func TestDefinitionThatCannotBeReadParksNothing(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		w.start(nil).Own(true)
		w.commit(execution("a", 0))
		w.settled()
		time.Sleep(tableTime)
		w.network.without.Store(true)
		w.organization.Inject(emulator.Fault{Kind: "error", Status: 503, Path: "EntityDefinitions", Times: 1})
		w.commit(execution("a", 1))
		time.Sleep(time.Minute)
		w.network.without.Store(false)
		w.settled()
		if !w.copied("a") || w.standing().Parked > 0 {
			t.Errorf("%+v", w.processes[0].Status())
		}
	})
}

// TestRefusedDefinitionIsAskedForRarely, and shown.
func TestRefusedDefinitionIsAskedForRarely(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		w.organization.Inject(emulator.Fault{Kind: "error", Status: 400, Path: "EntityDefinitions"})
		p := w.start(nil)
		p.Own(true)
		time.Sleep(time.Hour)
		if n := w.organization.Stats().Requests; n > 60 {
			t.Errorf("%d requests within an hour", n)
		}
		if s := p.Status(); s.State != StateBlocked || s.Reason == "" {
			t.Errorf("%+v", s)
		}
	})
}
