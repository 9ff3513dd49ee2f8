package emulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// controlPath is where the emulator is told what to do.
const controlPath = "/emulator/"

// maxFault is the longest fault in bytes.
const maxFault = 64 << 10

// isControl tells whether a path is of the control endpoint. A tenant may have its name: those paths go deeper.
func isControl(path string) bool {
	rest, below := strings.CutPrefix(path, controlPath)
	return below && !strings.Contains(rest, "/")
}

// newControl serves GET, POST and DELETE /emulator/faults, GET /emulator/stats and DELETE /emulator/rows.
func newControl(f *faults, c *counters, deleteRows func() *apiError) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /emulator/faults", func(w http.ResponseWriter, _ *http.Request) {
		list := []wireFault{}
		for _, fault := range f.current() {
			list = append(list, toWire(fault))
		}
		writeJSON(w, http.StatusOK, list)
	})
	mux.HandleFunc("POST /emulator/faults", func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxFault)
		fault, err := readFault(r)
		if err != nil {
			writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
			return
		}
		f.inject(fault)
		writeJSON(w, http.StatusCreated, toWire(fault))
	})
	mux.HandleFunc("DELETE /emulator/faults", func(w http.ResponseWriter, _ *http.Request) {
		f.clear()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /emulator/stats", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, c.snapshot())
	})
	mux.HandleFunc("DELETE /emulator/rows", func(w http.ResponseWriter, _ *http.Request) {
		if failure := deleteRows(); failure != nil {
			failure.write(w)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

// wireFault is a Fault as the control endpoint writes and reads it. Durations are as in Go: 1m30s, 250ms.
type wireFault struct {
	Kind       string  `json:"kind"`
	Path       string  `json:"path,omitempty"`
	Times      int     `json:"times,omitempty"`
	Status     int     `json:"status,omitempty"`
	RetryAfter string  `json:"retryAfter,omitempty"`
	Delay      string  `json:"delay,omitempty"`
	Chance     float64 `json:"chance,omitempty"`
}

func toWire(f Fault) wireFault {
	text := func(d time.Duration) string {
		if d == 0 {
			return ""
		}
		return d.String()
	}
	return wireFault{f.Kind, f.Path, f.Times, f.Status, text(f.RetryAfter), text(f.Delay), f.Chance}
}

// readFault reads a fault from the body, and checks it.
func readFault(r *http.Request) (Fault, error) {
	var wire wireFault
	in := json.NewDecoder(r.Body)
	in.DisallowUnknownFields()
	if err := in.Decode(&wire); err != nil {
		return Fault{}, fmt.Errorf("read fault: %w", err)
	}
	f := Fault{Kind: wire.Kind, Path: wire.Path, Times: wire.Times, Status: wire.Status, Chance: wire.Chance}
	for _, d := range []struct {
		name, text string
		value      *time.Duration
	}{{"retryAfter", wire.RetryAfter, &f.RetryAfter}, {"delay", wire.Delay, &f.Delay}} {
		if d.text == "" {
			continue
		}
		value, err := time.ParseDuration(d.text)
		if err != nil {
			return Fault{}, fmt.Errorf("%s %q must be a duration like 1.5s", d.name, d.text)
		}
		*d.value = value
	}
	return f, f.check()
}
