package dataverse_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/apexsalesai/runmetrics/sinks/dataverse"
)

// secret is the client secret of all tests. It has characters that are escaped in a form.
const secret = "s3cr3t~/+value"

// service is an organisation and its authority on one address, for what the emulator does not do. It remembers the
// requests to the API.
type service struct {
	*httptest.Server
	t     *testing.T
	token http.HandlerFunc // nil: each request for a token gets the next of token-1, token-2…

	mu       sync.Mutex
	issued   int
	requests []*http.Request
	bodies   []string
}

func newService(t *testing.T, api http.HandlerFunc) *service {
	t.Helper()
	s := &service{t: t}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /tenant-1/oauth2/v2.0/token", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.issued++
		n := s.issued
		s.mu.Unlock()
		if s.token != nil {
			s.token(w, r)
			return
		}
		writeToken(w, n)
	})
	mux.HandleFunc("/api/data/v9.2/", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client has gone
		}
		s.mu.Lock()
		s.requests, s.bodies = append(s.requests, r), append(s.bodies, string(body))
		s.mu.Unlock()
		api(w, r)
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func writeToken(w http.ResponseWriter, n int) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"token_type":"Bearer","expires_in":3599,"access_token":"token-%d"}`, n)
}

// client is one that talks to the service.
func (s *service) client(changes ...func(*dataverse.Config)) *dataverse.Client {
	s.t.Helper()
	c := dataverse.Config{URL: s.URL, TenantID: "tenant-1", ClientID: "client-1", Authority: s.URL,
		ClientSecret: func() string { return secret }}
	for _, change := range changes {
		change(&c)
	}
	client, err := dataverse.New(c)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(client.Close)
	return client
}

func (s *service) tokensIssued() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.issued
}

// seen returns the requests to the API so far, with their bodies.
func (s *service) seen() ([]*http.Request, []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests, s.bodies
}

// answer makes a handler that always says the same.
func answer(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; odata.metadata=minimal")
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

const whoAmI = `{"@odata.context":"x","BusinessUnitId":"11111111-1111-1111-1111-111111111111",` +
	`"UserId":"22222222-2222-2222-2222-222222222222","OrganizationId":"33333333-3333-3333-3333-333333333333"}`

// ask makes the simplest request.
func ask(ctx context.Context, c *dataverse.Client) error {
	_, err := c.WhoAmI(ctx)
	return err
}
