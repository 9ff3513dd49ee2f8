package query_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/query"
)

const (
	hostileRequests = 10_000
	hostileSenders  = 8
	// hostileHeap is by how much the heap may have grown: generous, and far below what the bodies add up to.
	hostileHeap = 24 << 20
)

// TestHostileRequestsBreakNothing sends requests that no honest client sends over real connections, to a window with keys
// and to an open one. RUNMETRICS_TEST_SEED repeats them. It runs alone: goroutines and heap are counted.
func TestHostileRequestsBreakNothing(t *testing.T) {
	seed, requests := uint64(time.Now().UnixNano()), hostileRequests
	if s := os.Getenv("RUNMETRICS_TEST_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	if testing.Short() {
		requests /= 10
	}
	t.Logf("RUNMETRICS_TEST_SEED=%d", seed)
	keyed, read, write := withKeys(t, func(c *query.Config) { c.Origins = []string{studio} })
	open := newWorld(t, nil)
	var servers []*attacked
	for _, w := range []*world{keyed, open} {
		for i := range 40 {
			w.apply(execution(events.Key{CampaignID: "c", RunID: fmt.Sprint("r", i), Phase: "1"}, "e", "a", start, 5))
			w.buryLetter("c", "r0")
		}
		url, _ := serve(t, w.handler)
		servers = append(servers, &attacked{address: strings.TrimPrefix(url, "http://"), statuses: map[int]int{}})
	}
	attack := func(n int) {
		var senders sync.WaitGroup
		for i := range hostileSenders {
			h := &hostile{t: t, r: rand.New(rand.NewPCG(seed, uint64(n+i))), server: servers[i%2], tokens: []string{read, write}}
			senders.Go(func() { h.send(n / hostileSenders) })
		}
		senders.Wait()
	}
	attack(requests / 10) // what is made once and kept is there from now on
	goroutines, heap := settled(), heapInUse()
	slow := dawdle(t, servers[0].address, read)
	attack(requests)
	slow()
	now := heapInUse()
	t.Logf("heap of %d bytes before, %d after", heap, now)
	if now > heap+hostileHeap {
		t.Error("the heap grew")
	}
	until(t, "all goroutines ended", func() bool { return settled() <= goroutines })
	for i, w := range []*world{keyed, open} {
		t.Logf("answers %v", servers[i].statuses)
		log := w.log.String()
		if strings.Contains(log, "panic") || strings.Contains(log, "status=500") {
			t.Errorf("log: %s", log)
		}
		for _, token := range []string{read, write} {
			if _, secret, _ := strings.Cut(token, "."); strings.Contains(log, secret) {
				t.Error("the log shows a secret")
			}
		}
		if got := w.send(http.MethodGet, campaign+"?limit=1", "", "X-API-Key", read); got.Code != http.StatusOK {
			t.Errorf("afterwards: status %d", got.Code)
		}
	}
}

// settled is how many goroutines there are when connections that nobody uses are closed.
func settled() int {
	http.DefaultClient.CloseIdleConnections()
	return runtime.NumGoroutine()
}

func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what finalizers let go
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// dawdle holds connections open whose clients send too slowly, or take nothing, until the returned func closes them.
func dawdle(t *testing.T, address, token string) (stop func()) {
	t.Helper()
	var held []net.Conn
	for i := range 24 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
		_, _ = io.WriteString(c, []string{
			"GET /api/metrics/campaign HTTP/1.1\r\nHost: x\r\nX-Slow:",
			"POST /api/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nContent-Length: 4000000\r\nX-API-Key: " + token + "\r\n\r\n{",
			"GET /api/metrics/campaign/stream HTTP/1.1\r\nHost: x\r\nX-API-Key: " + token + "\r\n\r\n",
			"GET /api/metrics/campaign?format=csv HTTP/1.1\r\nHost: x\r\nX-API-Key: " + token + "\r\n\r\n",
		}[i%4])
	}
	return func() {
		for _, c := range held {
			_ = c.Close()
		}
	}
}

// attacked is one server, and how often it answered with which status.
type attacked struct {
	address string

	mu       sync.Mutex
	statuses map[int]int
}

// hostile sends requests over one connection after the other.
type hostile struct {
	t      *testing.T
	r      *rand.Rand
	server *attacked
	tokens []string
}

func (h *hostile) send(requests int) {
	var c net.Conn
	var answers *bufio.Reader
	for range requests {
		if c == nil {
			var err error
			if c, err = net.Dial("tcp", h.server.address); err != nil {
				h.t.Error(err)
				return
			}
			answers = bufio.NewReader(c)
		}
		method, text, whole := h.request()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = io.WriteString(c, text) // a server that has heard enough closes its end
		if !whole {
			_ = c.(*net.TCPConn).CloseWrite() // or it would wait for the rest
		}
		if !h.answer(method, text, answers) || !whole {
			_ = c.Close()
			c = nil
		}
	}
	if c != nil {
		_ = c.Close()
	}
}

// answer reads one answer and tells whether the connection is good for another request.
func (h *hostile) answer(method, request string, from *bufio.Reader) bool {
	answer, err := http.ReadResponse(from, &http.Request{Method: method})
	for err == nil && answer.StatusCode == http.StatusContinue {
		answer, err = http.ReadResponse(from, &http.Request{Method: method})
	}
	if err != nil {
		return false // cut off: no answer is one, too, to what is no request
	}
	// The body is not closed: that would wait for the end of a stream, and it holds nothing but the connection.
	h.server.mu.Lock()
	h.server.statuses[answer.StatusCode]++
	h.server.mu.Unlock()
	if answer.StatusCode == http.StatusInternalServerError {
		h.t.Errorf("status 500 to %.500q", request)
	}
	if strings.HasPrefix(answer.Header.Get("Content-Type"), "text/event-stream") {
		_, _ = io.CopyN(io.Discard, answer.Body, 1) // there is always some at the start
		return false
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return err == nil && !answer.Close
}
