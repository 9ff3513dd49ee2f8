package emulator

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

const organisation = "http://127.0.0.1:8900"

func newTestTokens(clock *clock) *tokens {
	return newTokens("emulator", "right", time.Hour, clock.Now, newCounters(clock.Now))
}

// askToken asks for a token with the good parameters, of which some are replaced; an empty value removes one.
func askToken(h http.Handler, replaced ...string) *httptest.ResponseRecorder {
	form := url.Values{
		"client_id": {"emulator"}, "client_secret": {"right"}, "grant_type": {"client_credentials"},
		"scope": {organisation + "/.default"},
	}
	for pair := range slices.Chunk(replaced, 2) {
		if form.Set(pair[0], pair[1]); pair[1] == "" {
			form.Del(pair[0])
		}
	}
	const endpoint = organisation + "/contoso.example/oauth2/v2.0/token"
	r := httptest.NewRequest(http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// mustToken returns a good token.
func mustToken(t *testing.T, h http.Handler) string {
	t.Helper()
	w := askToken(h)
	var got struct {
		Type   string `json:"token_type"`
		Token  string `json:"access_token"`
		Expiry int    `json:"expires_in"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK {
		t.Fatalf("ask for a token: %d %s", w.Code, w.Body)
	}
	if got.Type != "Bearer" || got.Expiry != 3599 {
		t.Errorf("token_type %q, expires_in %d", got.Type, got.Expiry)
	}
	return got.Token
}

// useToken sends a request with the token, and returns the answer.
func useToken(issuer *tokens, host, token string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "http://"+host+"/api/data/v9.2/WhoAmI", nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	issuer.wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
	return w
}

func TestATokenHoldsForItsLifeOnly(t *testing.T) {
	t.Parallel()
	clock := newClock()
	tokens := newTestTokens(clock)
	token := mustToken(t, tokens)
	if w := useToken(tokens, "127.0.0.1:8900", token); w.Code != http.StatusOK {
		t.Errorf("at once: %d %s", w.Code, w.Body)
	}
	clock.advance(time.Hour - time.Second)
	if w := useToken(tokens, "127.0.0.1:8900", token); w.Code != http.StatusOK {
		t.Errorf("a second before its end: %d %s", w.Code, w.Body)
	}
	clock.advance(time.Second)
	w := useToken(tokens, "127.0.0.1:8900", token)
	if w.Code != http.StatusUnauthorized {
		t.Errorf("at its end: %d", w.Code)
	}
	const want = "Bearer authorization_uri=" + organisation + "/" + homeTenant + "/oauth2/authorize, " +
		"resource_id=" + organisation + "/"
	if got := w.Header().Get("WWW-Authenticate"); got != want {
		t.Errorf("WWW-Authenticate is %s", got)
	}
	if n := tokens.counters.snapshot().Tokens; n != 1 {
		t.Errorf("%d tokens were counted", n)
	}
}

func TestOnlyTokensOfThisEmulatorForThisHostAreTaken(t *testing.T) {
	t.Parallel()
	clock := newClock()
	tokens := newTestTokens(clock)
	token := mustToken(t, tokens)
	header, rest, _ := strings.Cut(token, ".")
	for name, c := range map[string]struct{ host, token string }{
		"none":                {"127.0.0.1:8900", ""},
		"not a token":         {"127.0.0.1:8900", "letmein"},
		"of another emulator": {"127.0.0.1:8900", mustToken(t, newTestTokens(clock))},
		"unsigned":            {"127.0.0.1:8900", token[:strings.LastIndexByte(token, '.')+1]},
		"changed":             {"127.0.0.1:8900", header + "A." + rest},
		"for another host":    {"127.0.0.1:8901", token},
	} {
		w := useToken(tokens, c.host, c.token)
		if w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
	}
}

func TestATokenIsRefusedAsTheAuthorityDoes(t *testing.T) {
	t.Parallel()
	tokens := newTestTokens(newClock())
	for _, c := range []struct {
		replaced []string
		status   int
		kind     string
		code     int
	}{
		{[]string{"client_secret", "wrong"}, 401, "invalid_client", 7000215},
		{[]string{"client_secret", ""}, 401, "invalid_client", 7000216},
		{[]string{"client_id", "somebody"}, 400, "unauthorized_client", 700016},
		{[]string{"client_id", ""}, 400, "invalid_request", 900144},
		{[]string{"grant_type", ""}, 400, "invalid_request", 900144},
		{[]string{"grant_type", "password"}, 501, "unsupported_grant_type", 70003},
		{[]string{"client_assertion", "ey"}, 501, "invalid_request", 0},
		{[]string{"scope", ""}, 400, "invalid_request", 900144},
		{[]string{"scope", organisation}, 400, "invalid_scope", 70011},
		{[]string{"scope", ".default"}, 400, "invalid_scope", 70011},
		{[]string{"scope", "http://a/.default http://b/.default"}, 400, "invalid_scope", 70011},
	} {
		w := askToken(tokens, c.replaced...)
		var got struct {
			Kind        string `json:"error"`
			Description string `json:"error_description"`
			Codes       []int  `json:"error_codes"`
			Trace       string `json:"trace_id"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatalf("%v: %v in %s", c.replaced, err, w.Body)
		}
		codes := []int{c.code}
		if c.code == 0 {
			codes = []int{}
		}
		if w.Code != c.status || got.Kind != c.kind || !slices.Equal(got.Codes, codes) ||
			!strings.Contains(got.Description, "\r\nTrace ID: "+got.Trace+"\r\nCorrelation ID: ") {
			t.Errorf("%v: %d %s", c.replaced, w.Code, w.Body)
		}
	}
	w := askToken(tokens, "client_secret", "wrong")
	if !strings.Contains(w.Body.String(), "AADSTS7000215: Invalid client secret provided.") {
		t.Errorf("the text of a wrong secret: %s", w.Body)
	}
}

func TestClientCredentialsMayComeByBasicAuthentication(t *testing.T) {
	t.Parallel()
	tokens := newTokens("the client", "a:b+c%/", time.Hour, time.Now, newCounters(time.Now))
	for secret, status := range map[string]int{"a:b+c%/": 200, "a:b": 401} {
		form := url.Values{"grant_type": {"client_credentials"}, "scope": {organisation + "/.default"}}
		r := httptest.NewRequest(http.MethodPost, "/t/oauth2/v2.0/token", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth(url.QueryEscape("the client"), url.QueryEscape(secret))
		w := httptest.NewRecorder()
		if tokens.ServeHTTP(w, r); w.Code != status {
			t.Errorf("secret %q: %d %s", secret, w.Code, w.Body)
		}
	}
}

func TestLibrariesFindTheTokenEndpoint(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(newTestTokens(newClock()))
	defer server.Close()
	get := func(path string) (document map[string]any) {
		t.Helper()
		answer, err := server.Client().Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if err := json.NewDecoder(answer.Body).Decode(&document); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		return document
	}
	instance := get("/common/discovery/instance?api-version=1.1&authorization_endpoint=" +
		url.QueryEscape(server.URL+"/contoso.example/oauth2/v2.0/authorize"))
	const openID = "/contoso.example/v2.0/.well-known/openid-configuration"
	if instance["tenant_discovery_endpoint"] != server.URL+openID {
		t.Errorf("instance discovery: %v", instance)
	}
	document := get(openID)
	if document["token_endpoint"] != server.URL+"/contoso.example/oauth2/v2.0/token" ||
		document["issuer"] != server.URL+"/contoso.example/v2.0" {
		t.Errorf("OpenID configuration: %v", document)
	}
	if keys := get("/contoso.example/discovery/v2.0/keys"); keys["keys"] == nil {
		t.Errorf("keys: %v", keys)
	}
}
