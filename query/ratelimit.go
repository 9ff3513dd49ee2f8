package query

import (
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// How often a stranger's address may be refused with an answer to each request.
const (
	strangerRate  = 10 // a second
	strangerBurst = 50
)

// strangersKept bounds how many addresses are remembered: twice this.
const strangersKept = 4096

// maxKeyRates is more keys than a file has room for.
const maxKeyRates = maxFollowed

// rates holds a bucket for each name: a key's id or an address. Names are forgotten by generations: when the young one is
// full it becomes the old one, and what was in the old one and did not come again is gone. A forgotten name begins with a
// full bucket.
type rates struct {
	perSecond, burst int // 0 a second: no limit
	keep             int

	mu         sync.Mutex
	young, old map[string]*rate.Limiter
}

func newRates(perSecond, burst, keep int) *rates {
	return &rates{perSecond: perSecond, burst: burst, keep: keep, young: map[string]*rate.Limiter{}}
}

// wait takes one from the bucket of the name and returns zero, or how long it will take until there is one.
func (l *rates) wait(name string, now time.Time) time.Duration {
	if l.perSecond == 0 {
		return 0
	}
	reserved := l.bucket(name).ReserveN(now, 1)
	wait := reserved.DelayFrom(now)
	if wait > 0 {
		reserved.CancelAt(now)
	}
	return wait
}

func (l *rates) bucket(name string) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.young[name]; b != nil {
		return b
	}
	b := l.old[name]
	if b == nil {
		b = rate.NewLimiter(rate.Limit(l.perSecond), l.burst)
	}
	if len(l.young) >= l.keep {
		l.young, l.old = map[string]*rate.Limiter{}, l.young
	}
	l.young[name] = b
	return b
}

// strangers are those without a valid key.
type strangers struct{ *rates }

// wait is as of rates, for the address of a connection. One machine has a whole network of IPv6 addresses, so they count
// as one.
func (s strangers) wait(remoteAddr string, now time.Time) time.Duration {
	name := remoteAddr
	if at, err := netip.ParseAddrPort(remoteAddr); err == nil {
		ip := at.Addr().Unmap().WithZone("")
		name = ip.String()
		if network, err := ip.Prefix(64); err == nil && ip.Is6() {
			name = network.String()
		}
	}
	return s.rates.wait(name, now)
}

// tooFast answers 429.
func tooFast(w http.ResponseWriter, wait time.Duration, detail string) {
	seconds := strconv.Itoa(int(math.Ceil(wait.Seconds())))
	w.Header().Set("Retry-After", seconds)
	writeProblem(w, problem(http.StatusTooManyRequests, fmt.Sprintf("%s; wait %s s", detail, seconds)))
}
