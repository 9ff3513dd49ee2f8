package dataverse_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/dataverse"
)

// clock is a clock that tests set.
type clock struct {
	nanos atomic.Int64
}

func newClock() *clock {
	c := new(clock)
	c.nanos.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.nanos.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.nanos.Add(int64(d)) }

func withClock(c *clock) func(*dataverse.Config) {
	return func(config *dataverse.Config) { config.Now = c.now }
}

func TestATokenOf60MinutesIsUsedFor55(t *testing.T) {
	t.Parallel()
	s := newService(t, answer(200, whoAmI))
	clock := newClock()
	client := s.client(withClock(clock))
	for _, step := range []struct {
		after time.Duration
		want  int
	}{{0, 1}, {54*time.Minute + 58*time.Second, 1}, {2 * time.Second, 2}, {54 * time.Minute, 2}} {
		clock.advance(step.after)
		if err := ask(t.Context(), client); err != nil {
			t.Fatal(err)
		}
		if got := s.tokensIssued(); got != step.want {
			t.Errorf("%s later %d tokens were issued, want %d", step.after, got, step.want)
		}
	}
}

func TestTheTokenIsAskedForAsMicrosoftSays(t *testing.T) {
	t.Parallel()
	s := newService(t, answer(200, whoAmI))
	forms := make(chan map[string][]string, 1)
	s.token = func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		forms <- r.PostForm
		writeToken(w, 1)
	}
	if err := ask(t.Context(), s.client()); err != nil {
		t.Fatal(err)
	}
	form := <-forms
	want := map[string]string{"grant_type": "client_credentials", "client_id": "client-1", "client_secret": secret,
		"scope": s.URL + "/.default"}
	for name, value := range want {
		if len(form[name]) != 1 || form[name][0] != value {
			t.Errorf("%s = %q, want %q", name, form[name], value)
		}
	}
	requests, _ := s.seen()
	if got := requests[0].Header.Get("Authorization"); got != "Bearer token-1" {
		t.Errorf("Authorization: %s", got)
	}
}

func TestCallersShareOneRequestForAToken(t *testing.T) {
	t.Parallel()
	s := newService(t, answer(200, whoAmI))
	const callers = 20
	var ready sync.WaitGroup
	ready.Add(callers)
	s.token = func(w http.ResponseWriter, _ *http.Request) {
		ready.Wait()
		writeToken(w, 1)
	}
	client := s.client()
	var all errgroup.Group
	for range callers {
		all.Go(func() error {
			ready.Done()
			return ask(t.Context(), client)
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := s.tokensIssued(); got != 1 {
		t.Errorf("%d tokens were asked for by %d callers at once", got, callers)
	}
}

func TestACallerThatLeavesDoesNotFailTheOthers(t *testing.T) {
	t.Parallel()
	s := newService(t, answer(200, whoAmI))
	asked, release := make(chan struct{}, 2), make(chan struct{})
	s.token = func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-release:
		case <-r.Context().Done():
		}
		writeToken(w, 1)
	}
	client := s.client()
	impatient, leave := context.WithCancel(t.Context())
	left, stayed := make(chan error, 1), make(chan error, 1)
	go func() { left <- ask(impatient, client) }()
	<-asked
	go func() { stayed <- ask(t.Context(), client) }()
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) || dataverse.Ambiguous(err) {
		t.Errorf("the caller that left got: %v", err)
	}
	close(release)
	if err := <-stayed; err != nil {
		t.Errorf("the caller that stayed got: %v", err)
	}
}

func TestTheLastCallerToLeaveEndsTheRequestForAToken(t *testing.T) {
	t.Parallel()
	s := newService(t, answer(200, whoAmI))
	asked, ended := make(chan struct{}), make(chan struct{})
	s.token = func(_ http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		close(asked)
		<-r.Context().Done()
		close(ended)
	}
	ctx, leave := context.WithCancel(t.Context())
	done := make(chan error, 1)
	client := s.client()
	go func() { done <- ask(ctx, client) }()
	<-asked
	leave()
	<-ended
	if err := <-done; !errors.Is(err, context.Canceled) || !errors.Is(err, sinks.ErrUnavailable) {
		t.Error(err)
	}
}

func TestARejectedTokenIsReplacedOnceForAll(t *testing.T) {
	t.Parallel()
	const callers = 10
	var together sync.WaitGroup
	together.Add(callers)
	s := newService(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer token-1" {
			together.Done()
			together.Wait()
			w.WriteHeader(http.StatusUnauthorized) // as Dataverse does: without a body
			return
		}
		answer(200, whoAmI)(w, r)
	})
	client := s.client()
	var all errgroup.Group
	for range callers {
		all.Go(func() error { return ask(t.Context(), client) })
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := s.tokensIssued(); got != 2 {
		t.Errorf("%d tokens were issued, want 2", got)
	}
}

func TestATokenRejectedTwiceIsBlocked(t *testing.T) {
	t.Parallel()
	s := newService(t, answer(401, ""))
	err := ask(t.Context(), s.client())
	if !errors.Is(err, sinks.ErrBlocked) || !strings.Contains(err.Error(), "DATAVERSE_TENANT_ID") {
		t.Error(err)
	}
	if requests, _ := s.seen(); len(requests) != 2 || s.tokensIssued() != 2 {
		t.Errorf("%d requests with %d tokens, want 2 and 2", len(requests), s.tokensIssued())
	}
}

func TestATokenThatHoldsIsUsedWhileTheAuthorityIsAway(t *testing.T) {
	t.Parallel()
	s := newService(t, answer(200, whoAmI))
	clock := newClock()
	client := s.client(withClock(clock))
	if err := ask(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.token = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }
	s.mu.Unlock()
	clock.advance(56 * time.Minute)
	for range 3 {
		if err := ask(t.Context(), client); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.tokensIssued(); got != 2 {
		t.Errorf("the authority was asked %d times, want 2: once at first, once within ten seconds", got)
	}
	clock.advance(4 * time.Minute)
	if err := ask(t.Context(), client); !errors.Is(err, sinks.ErrUnavailable) {
		t.Errorf("after the token's end: %v", err)
	}
}

func TestErrorsOfTheAuthorityNameWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		status, code int
		want         string
		meaning      error
	}{
		{401, 7000215, "the client secret is wrong", sinks.ErrBlocked},
		{401, 7000222, "the client secret has expired", sinks.ErrBlocked},
		{400, 700016, "the client id is unknown in this tenant", sinks.ErrBlocked},
		{400, 90002, "the tenant does not exist", sinks.ErrBlocked},
		{400, 500011, "the tenant knows no organization at this URL", sinks.ErrBlocked},
		{400, 999, "check DATAVERSE_AUTHORITY", sinks.ErrBlocked},
		{503, 90033, "503 Service Unavailable", sinks.ErrUnavailable},
	} {
		t.Run(fmt.Sprint(test.code), func(t *testing.T) {
			t.Parallel()
			s := newService(t, answer(200, whoAmI))
			s.token = answer(test.status, fmt.Sprintf(`{"error":"invalid_client","error_description":`+
				`"AADSTS%d: Something about it.\r\nTrace ID: trace-1\r\nCorrelation ID: c","error_codes":[%[1]d],"trace_id":"trace-1"}`,
				test.code))
			err := ask(t.Context(), s.client())
			if !errors.Is(err, test.meaning) || !strings.Contains(err.Error(), test.want) ||
				strings.Count(err.Error(), "Something about it") != 1 || strings.Count(err.Error(), "AADSTS") > 1 || !strings.Contains(err.Error(), "(request trace-1)") {
				t.Error(err)
			}
		})
	}
}

func TestTheAuthorityThrottlesToo(t *testing.T) {
	t.Parallel()
	s := newService(t, answer(200, whoAmI))
	s.token = answer(429, "slow down", "Retry-After: 7")
	wait, throttled := dataverse.Throttled(ask(t.Context(), s.client()))
	if !throttled || wait != 7*time.Second {
		t.Errorf("wait %s, throttled %t", wait, throttled)
	}
}

func TestAnAuthorityThatSpeaksNoOAuthIsReported(t *testing.T) {
	t.Parallel()
	for status, meaning := range map[int]error{200: sinks.ErrUnavailable, 302: sinks.ErrBlocked, 404: sinks.ErrBlocked} {
		s := newService(t, answer(200, whoAmI))
		s.token = answer(status, "<html>sign in</html>", "Content-Type: text/html", "Location: http://127.0.0.1:1/elsewhere")
		if err := ask(t.Context(), s.client()); !errors.Is(err, meaning) {
			t.Errorf("%d: %v", status, err)
		}
	}
}
