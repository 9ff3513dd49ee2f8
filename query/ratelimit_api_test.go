package query_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apexsalesai/runmetrics/query"
)

func TestEachKeyHasARateOfItsOwn(t *testing.T) {
	t.Parallel()
	w, read, write := withKeys(t, func(c *query.Config) { c.KeyRate = 2 })
	ask := func(token string) *httptest.ResponseRecorder {
		return w.send(http.MethodGet, "/nothing", "", "Authorization", "Bearer "+token)
	}
	for i := range 4 { // twice the rate at once
		if got := ask(read); got.Code != http.StatusNotFound {
			t.Fatalf("request %d: status %d", i, got.Code)
		}
	}
	got := ask(read)
	w.wantProblem(http.StatusTooManyRequests, got)
	if after := got.Header().Get("Retry-After"); after != "1" {
		t.Errorf("Retry-After %q", after)
	}
	if got := ask(write); got.Code != http.StatusNotFound {
		t.Errorf("another key: status %d", got.Code)
	}
	for _, target := range []string{"/healthz", "/readyz", "/"} {
		if got := w.send(http.MethodGet, target, "", "Authorization", "Bearer "+read); got.Code != http.StatusOK {
			t.Errorf("%s: status %d", target, got.Code)
		}
	}
	w.now = w.now.Add(500 * time.Millisecond)
	if first, second := ask(read).Code, ask(read).Code; first != http.StatusNotFound || second != http.StatusTooManyRequests {
		t.Errorf("half a second later: %d, %d", first, second)
	}
}

func TestWithoutARateNothingIsLimited(t *testing.T) {
	t.Parallel()
	w, read, _ := withKeys(t)
	for range 500 {
		if got := w.send(http.MethodGet, "/nothing", "", "X-API-Key", read); got.Code != http.StatusNotFound {
			t.Fatalf("status %d", got.Code)
		}
	}
}

// from sends a request with a key from an address.
func (w *world) from(address, token string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/nothing", nil)
	r.RemoteAddr = address
	r.Header.Set("X-API-Key", token)
	got := httptest.NewRecorder()
	w.handler.ServeHTTP(got, r)
	return got
}

func TestStrangersAreSlowedDownByTheirAddressAndKeysAreNot(t *testing.T) {
	t.Parallel()
	w, read, _ := withKeys(t)
	statuses := func(addresses ...string) string {
		count := map[int]int{}
		for i := range 60 {
			count[w.from(addresses[i%len(addresses)], "reader.wrong").Code]++
		}
		return fmt.Sprint(count)
	}
	if got := statuses("192.0.2.7:1", "192.0.2.7:2"); got != "map[401:50 429:10]" {
		t.Errorf("one address: %s", got)
	}
	if got := statuses("[2001:db8::1]:1", "[2001:db8::ffff:1]:1", "[2001:db8:0:0:1::9%eth0]:5"); got != "map[401:50 429:10]" {
		t.Errorf("one network: %s", got)
	}
	if got := statuses("192.0.2.8:1", "[2001:db8:0:1::1]:1"); got != "map[401:60]" {
		t.Errorf("two others: %s", got)
	}
	refused := w.from("192.0.2.7:9", "")
	w.wantProblem(http.StatusTooManyRequests, refused)
	if seconds, err := strconv.Atoi(refused.Header().Get("Retry-After")); err != nil || seconds < 1 {
		t.Errorf("Retry-After %q", refused.Header().Get("Retry-After"))
	}
	if got := w.from("192.0.2.7:1", read); got.Code != http.StatusNotFound {
		t.Errorf("a valid key behind the same address: status %d", got.Code)
	}
	w.now = w.now.Add(time.Second)
	if got := statuses("192.0.2.7:1"); got != "map[401:10 429:50]" {
		t.Errorf("a second later: %s", got)
	}
}

func TestManyRefusedAttemptsAreOneLineWithTheirNumber(t *testing.T) {
	w, _, _ := withKeys(t)
	synctest.Test(t, func(t *testing.T) {
		for i := range 35 {
			w.from(fmt.Sprintf("192.0.2.%d:1", i), "nobody.x")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		log := w.log.String()
		if strings.Count(log, "api request refused") != 10 || !strings.Contains(log, `"more api requests refused" count=25`) {
			t.Errorf("log: %s", log)
		}
		w.from("192.0.2.1:1", "nobody.x")
		time.Sleep(time.Second)
		if n := strings.Count(w.log.String(), "api request"); n != 12 {
			t.Errorf("a second later: %d lines", n)
		}
	})
}
