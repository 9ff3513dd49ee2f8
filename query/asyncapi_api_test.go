package query_test

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/apexsalesai/runmetrics/events/schema"
)

func TestAsyncAPIIsServedToEveryone(t *testing.T) {
	t.Parallel()
	w, _, _ := withKeys(t)
	got := w.send(http.MethodGet, "/asyncapi.json", "")
	if got.Code != http.StatusOK || got.Header().Get("Content-Type") != "application/json" ||
		!bytes.Equal(got.Body.Bytes(), schema.AsyncAPI()) {
		t.Errorf("status %d, %s: %.100s", got.Code, got.Header().Get("Content-Type"), got.Body)
	}
}
