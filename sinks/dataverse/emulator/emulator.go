package emulator

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// Config says how an Emulator behaves. The zero value is an organisation in memory that limits nothing.
type Config struct {
	// ClientID and ClientSecret are those of the only application; each is "emulator" if it is empty.
	ClientID, ClientSecret string
	// Empty starts without the Campaign Metrics table.
	Empty bool
	// Dir is where definitions and rows are kept, in one file. It is made if it does not exist, and must be no other
	// emulator's. Empty keeps them in memory.
	Dir string
	// Limits are the service protection limits; see DefaultLimits.
	Limits Limits
	// TokenLife is how long a token can be used; 0 is an hour.
	TokenLife time.Duration
	// Latency is how long a request to the Web API takes at the least, in real time. It counts as execution time.
	Latency time.Duration
	// Now is the clock of tokens, limits, alternate keys and rows; nil is time.Now.
	Now func() time.Time
	// Log is told what nobody else would see; nil is nobody.
	Log *slog.Logger
}

// Emulator is one organisation with its token endpoint. It serves any host name, tenant and number of clients at a time.
type Emulator struct {
	data     *data
	counters *counters
	faults   *faults
	handler  http.Handler
}

// New makes an organisation, or opens the one in Dir.
func New(c Config) (*Emulator, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.TokenLife == 0 {
		c.TokenLife = time.Hour
	}
	e := &Emulator{data: newData(c.Now), counters: newCounters(c.Now)}
	if c.Dir != "" {
		if err := e.data.open(c.Dir, c.Log); err != nil {
			return nil, fmt.Errorf("open emulator in %s: %w", c.Dir, err)
		}
	}
	if failure := e.data.prepare(c.Empty); failure != nil {
		return nil, errors.Join(fmt.Errorf("make the Campaign Metrics table: %w", failure), e.data.close())
	}
	e.faults = newFaults(c.Now, e.counters)
	e.handler = e.chain(c)
	return e, nil
}

// prepare makes the Campaign Metrics table, unless it is there or not wanted.
func (d *data) prepare(empty bool) *apiError {
	return d.atomically(func() *apiError {
		if campaigns := campaignMetrics(); !empty && d.tables[campaigns.LogicalName] == nil {
			d.setDefinition(newTable(nil), campaigns)
		}
		return nil
	})
}

// maxURL is how many characters a URL outside a batch may have.
const maxURL = 32_768

// chain is the way of a request:
//
//	control | counters → faults → token endpoint | token check → protection → latency → batch | api
func (e *Emulator) chain(c Config) http.Handler {
	tokens := newTokens(cmp.Or(c.ClientID, "emulator"), cmp.Or(c.ClientSecret, "emulator"), c.TokenLife, c.Now, e.counters)
	api := &api{data: e.data, targets: e.counters.targets}
	batch := &batch{inner: api, atomically: e.data.atomically}
	service := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c.Latency > 0 {
			e.faults.wait(c.Latency, nil)
		}
		switch {
		case len(r.URL.RequestURI()) > maxURL:
			(&apiError{http.StatusRequestURITooLong, "0x0", "The URL is too long."}).write(w)
		case batchPath.MatchString(r.URL.Path):
			batch.ServeHTTP(w, r)
		default:
			api.ServeHTTP(w, r)
		}
	})
	authorised := tokens.wrap(newProtection(c.Limits, c.Now, e.counters).wrap(service))
	public := e.counters.wrap(e.faults.wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, apiPath) {
			authorised.ServeHTTP(w, r)
			return
		}
		tokens.ServeHTTP(w, r)
	})))
	control := newControl(e.faults, e.counters, e.data.clear)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isControl(r.URL.Path) {
			control.ServeHTTP(w, r)
			return
		}
		public.ServeHTTP(w, r)
	})
}

// ServeHTTP serves the Web API, the token endpoint and the control endpoint.
func (e *Emulator) ServeHTTP(w http.ResponseWriter, r *http.Request) { e.handler.ServeHTTP(w, r) }

// Close ends all delays, and the journal in Dir: nothing can be written after it.
func (e *Emulator) Close() error {
	e.faults.close()
	return e.data.close()
}

// Inject lets something go wrong from now on. A Fault that makes no sense is a programmer's mistake: it panics.
func (e *Emulator) Inject(f Fault) {
	if err := f.check(); err != nil {
		panic("emulator: inject fault: " + err.Error())
	}
	e.faults.inject(f)
}

// ClearFaults ends all faults.
func (e *Emulator) ClearFaults() { e.faults.clear() }

// Stats counts since the start.
func (e *Emulator) Stats() Stats { return e.counters.snapshot() }
