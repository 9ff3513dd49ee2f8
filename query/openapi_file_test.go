package query_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"testing"

	"github.com/apexsalesai/runmetrics/query"
)

var update = flag.Bool("update", false, "write openapi.json anew")

// TestOpenAPIFileIsWhatTheServerSays: clients are generated from the file. It describes a server with keys, and carries
// the version of the API, not the program's, which changes with each commit.
func TestOpenAPIFileIsWhatTheServerSays(t *testing.T) {
	t.Parallel()
	w, _, _ := withKeys(t, func(c *query.Config) { c.Version = "1" })
	var said bytes.Buffer
	if err := json.Indent(&said, w.send(http.MethodGet, "/openapi.json", "").Body.Bytes(), "", "  "); err != nil {
		t.Fatal(err)
	}
	said.WriteByte('\n')
	if *update {
		if err := os.WriteFile("openapi.json", said.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(file, said.Bytes()) {
		t.Error("query/openapi.json is not what the server says; go test ./query -run TestOpenAPIFile -update writes it anew")
	}
}
