package emulator

import (
	"bytes"
	"maps"
	"net/http"
)

// answer keeps what a handler answers: to send it later, as part of another answer, or not at all.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func newAnswer() *answer { return &answer{header: http.Header{}} }

// refused is the answer that says no.
func refused(e *apiError) *answer {
	a := newAnswer()
	e.write(a)
	return a
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

// failed is the status if it is one of an error, else 0.
func (a *answer) failed() int {
	if a.status < 400 {
		return 0
	}
	return a.status
}

// send gives the answer to the client.
func (a *answer) send(w http.ResponseWriter) {
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(max(a.status, http.StatusOK))
	_, _ = w.Write(a.body.Bytes()) // the client has gone if this fails
}
