package dataverse_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/dataverse"
)

func TestNewNamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := dataverse.New(dataverse.Config{Authority: "http://login.example.com"})
	for _, want := range []string{"URL is missing", "Authority must begin with https://", "TenantID is missing",
		"ClientID is missing", "ClientSecret is missing"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want: %s", err, want)
		}
	}
}

func TestURLsAreSafe(t *testing.T) {
	t.Parallel()
	for url, good := range map[string]bool{
		"https://contoso.crm.dynamics.com":      true,
		"https://contoso.crm.dynamics.com/":     true,
		"http://127.0.0.1:8900":                 true,
		"http://[::1]:8900":                     true,
		"http://localhost:8900":                 true,
		"http://contoso.crm.dynamics.com":       false,
		"http://127.0.0.1.example.com":          false,
		"https://user:word@contoso.example.com": false,
		"https://contoso.example.com/api/data":  false,
		"https://contoso.example.com?x=y":       false,
		"contoso.crm.dynamics.com":              false,
		"ftp://contoso.crm.dynamics.com":        false,
		"https://":                              false,
		"https://\x00":                          false,
	} {
		_, err := dataverse.New(dataverse.Config{URL: url, TenantID: "t", ClientID: "c",
			ClientSecret: func() string { return secret }})
		if (err == nil) != good {
			t.Errorf("%q: %v", url, err)
		}
		if err != nil && strings.Contains(err.Error(), "word") {
			t.Errorf("a password is shown: %v", err)
		}
	}
}

func TestATenantCannotLeaveItsPlaceInTheURL(t *testing.T) {
	t.Parallel()
	for _, tenant := range []string{"", "a/b", "..", "a?b", "a#b", "ä", "a b"} {
		_, err := dataverse.New(dataverse.Config{URL: "https://a.example.com", TenantID: tenant, ClientID: "c",
			ClientSecret: func() string { return secret }})
		if err == nil || !strings.Contains(err.Error(), "TenantID") {
			t.Errorf("%q: %v", tenant, err)
		}
	}
}

// operations are all requests that change or read rows.
func operations(ctx context.Context, c *dataverse.Client) map[string]error {
	id := uuid.MustParse("44444444-4444-4444-4444-444444444444")
	row := dataverse.Row{"a": int64(1)}
	table := &dataverse.Table{LogicalName: "thing", EntitySet: "things", PrimaryID: "thingid"}
	errs := map[string]error{
		"update": c.Update(ctx, "things", id, row),
		"upsert": c.Upsert(ctx, "things", id, row),
		"delete": c.Delete(ctx, "things", id),
	}
	_, errs["whoami"] = c.WhoAmI(ctx)
	_, errs["create"] = c.Create(ctx, "things", row)
	_, errs["get"] = c.Get(ctx, "things", id)
	_, _, errs["query"] = c.Page(ctx, "things", dataverse.Query{}, "")
	_, errs["table"] = c.Table(ctx, "thing")
	_, errs["bulk"] = c.UpsertMultiple(ctx, table, []dataverse.Row{{"thingid": id.String()}})
	errs["create table"] = c.CreateTable(ctx, dataverse.Wanted("thing"))
	errs["create column"] = c.CreateColumn(ctx, "thing", dataverse.Wanted("thing").Columns[0])
	return errs
}

func TestEveryRequestCarriesWhatMicrosoftAsksFor(t *testing.T) {
	t.Parallel()
	s := newService(t, answer(200, "{}", "Set-Cookie: ARRAffinity=one-server; Path=/",
		"OData-EntityId: https://x/api/data/v9.2/things(44444444-4444-4444-4444-444444444444)"))
	for range 2 { // the second time there would be a cookie
		operations(t.Context(), s.client())
	}
	requests, bodies := s.seen()
	if len(requests) < 20 {
		t.Fatalf("only %d requests", len(requests))
	}
	ids := map[string]bool{}
	for i, r := range requests {
		name := r.Method + " " + r.URL.Path
		for header, want := range map[string]string{
			"Accept": "application/json", "OData-MaxVersion": "4.0", "OData-Version": "4.0", "If-None-Match": "null",
			"User-Agent": "runmetrics", "Authorization": "Bearer token-", "x-ms-client-request-id": "-4", "Cookie": "",
		} {
			if got := r.Header.Get(header); !strings.Contains(got, want) || want == "" && got != "" {
				t.Errorf("%s: %s = %q, want %q", name, header, got, want)
			}
		}
		if got, want := r.Header.Get("Content-Type"), "application/json; charset=utf-8"; bodies[i] != "" && got != want {
			t.Errorf("%s: Content-Type = %q, want %q", name, got, want)
		}
		ids[r.Header.Get("x-ms-client-request-id")] = true
	}
	if len(ids) != len(requests) {
		t.Errorf("%d ids of %d requests", len(ids), len(requests))
	}
}

func TestAnErrorIsTheSameForEveryOperation(t *testing.T) {
	t.Parallel()
	s := newService(t, answer(403, `{"error":{"code":"0x80072560","message":"The user is not a member of the organization."}}`,
		"REQ_ID: request-7"))
	for name, err := range operations(t.Context(), s.client()) {
		var e *dataverse.Error
		if !errors.As(err, &e) || !errors.Is(err, sinks.ErrBlocked) || e.Status != 403 || e.Code != "0x80072560" ||
			e.RequestID != "request-7" || !strings.Contains(err.Error(), "application user is missing") || e.Op == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNoRedirectIsFollowed(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s went to another host with %q", r.Method, r.URL, r.Header.Get("Authorization"))
	}))
	t.Cleanup(elsewhere.Close)
	s := newService(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
	})
	for name, err := range operations(t.Context(), s.client()) {
		if !errors.Is(err, sinks.ErrBlocked) || !strings.Contains(err.Error(), elsewhere.URL) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhoAmITellsTheRecommendedParallelism(t *testing.T) {
	t.Parallel()
	s := newService(t, answer(200, whoAmI, "x-ms-dop-hint: 12"))
	who, err := s.client().WhoAmI(t.Context())
	if err != nil || who.DOPHint != 12 || who.UserID.String() != "22222222-2222-2222-2222-222222222222" ||
		who.OrganizationID.String() != "33333333-3333-3333-3333-333333333333" {
		t.Errorf("%+v, %v", who, err)
	}
}

func TestARequestThatNeverLeftIsNotAmbiguous(t *testing.T) {
	t.Parallel()
	s := newService(t, answer(200, whoAmI))
	client := s.client()
	if err := ask(t.Context(), client); err != nil { // for the token
		t.Fatal(err)
	}
	client.Close()
	s.Close()
	err := ask(t.Context(), client)
	if !errors.Is(err, sinks.ErrUnavailable) || dataverse.Ambiguous(err) || dataverse.TimedOut(err) {
		t.Errorf("refused connection: %v; ambiguous %t", err, dataverse.Ambiguous(err))
	}
	if strings.Contains(err.Error(), "(request") {
		t.Errorf("names a request that nobody has heard of: %v", err)
	}
}

func TestACutConnectionIsAmbiguous(t *testing.T) {
	t.Parallel()
	s := newService(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	client := s.client()
	id := uuid.New()
	err := client.Upsert(t.Context(), "things", id, dataverse.Row{"a": "b"})
	if !errors.Is(err, sinks.ErrUnavailable) || !dataverse.Ambiguous(err) || dataverse.TimedOut(err) {
		t.Errorf("%v; ambiguous %t, timed out %t", err, dataverse.Ambiguous(err), dataverse.TimedOut(err))
	}
}

func TestASilentServerIsAmbiguousAndTimedOut(t *testing.T) {
	t.Parallel()
	s := newService(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	client := s.client()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := client.Upsert(ctx, "things", uuid.New(), dataverse.Row{"a": "b"})
	if !errors.Is(err, sinks.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) ||
		!dataverse.Ambiguous(err) || !dataverse.TimedOut(err) {
		t.Errorf("%v; ambiguous %t, timed out %t", err, dataverse.Ambiguous(err), dataverse.TimedOut(err))
	}
}

func TestACanceledRequestIsAmbiguousButNotTimedOut(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	s := newService(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	err := s.client().Upsert(ctx, "things", uuid.New(), dataverse.Row{"a": "b"})
	if !dataverse.Ambiguous(err) || dataverse.TimedOut(err) || !errors.Is(err, context.Canceled) {
		t.Errorf("%v; ambiguous %t, timed out %t", err, dataverse.Ambiguous(err), dataverse.TimedOut(err))
	}
}

func TestAWriteWhoseAnswerBreaksOffTookPlace(t *testing.T) {
	t.Parallel()
	s := newService(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, "{")
	})
	client := s.client()
	if err := client.Upsert(t.Context(), "things", uuid.New(), dataverse.Row{"a": "b"}); err != nil {
		t.Error(err)
	}
	if _, err := client.Get(t.Context(), "things", uuid.New()); !errors.Is(err, sinks.ErrUnavailable) {
		t.Errorf("a read: %v", err)
	}
}

// silentTransport fails without a word on how far it got.
type silentTransport struct{ http.RoundTripper }

func (s silentTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasPrefix(r.URL.Path, "/api/") {
		return nil, &net.OpError{Op: "read", Err: errors.New("connection reset")}
	}
	return s.RoundTripper.RoundTrip(r)
}

func TestATransportThatReportsNothingGetsTheBenefitOfTheDoubt(t *testing.T) {
	t.Parallel()
	s := newService(t, answer(200, whoAmI))
	transport := new(http.Transport)
	t.Cleanup(transport.CloseIdleConnections)
	client := s.client(func(c *dataverse.Config) { c.Transport = silentTransport{transport} })
	if err := ask(t.Context(), client); !dataverse.Ambiguous(err) {
		t.Error(err)
	}
}

func TestACertificateThatIsNotTrustedIsForAPerson(t *testing.T) {
	t.Parallel()
	s := newService(t, answer(200, whoAmI))
	tls := httptest.NewUnstartedServer(http.NotFoundHandler())
	tls.Config.ErrorLog = log.New(io.Discard, "", 0)
	tls.StartTLS()
	t.Cleanup(tls.Close)
	client := s.client(func(c *dataverse.Config) { c.URL = tls.URL })
	err := ask(t.Context(), client)
	if !errors.Is(err, sinks.ErrBlocked) || dataverse.Ambiguous(err) ||
		!strings.Contains(err.Error(), "certificate is not trusted") {
		t.Error(err)
	}
}

func TestAnAnswerThatIsNoJSONIsUnavailable(t *testing.T) {
	t.Parallel()
	s := newService(t, answer(200, "<html>maintenance</html>"))
	if err := ask(t.Context(), s.client()); !errors.Is(err, sinks.ErrUnavailable) {
		t.Error(err)
	}
}
