package emulator

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	tokenPath     = "/oauth2/v2.0/token"                     // after the tenant
	openIDPath    = "/v2.0/.well-known/openid-configuration" // after the tenant
	jwksPath      = "/discovery/v2.0/keys"                   // after the tenant
	discoveryPath = "/common/discovery/instance"             // whole
	// homeTenant is the one that the challenge of a 401 names; tokens are given to any.
	homeTenant = "b6e2a1f4-7c1d-4d59-9f5e-0c1f6a3e8d27"
)

// tokens is the authority: it issues access tokens for client credentials, and knows them again. A token says for itself
// until when it holds, and is signed with a key that nobody else has, so that none need be kept.
type tokens struct {
	clientID, clientSecret string
	life                   time.Duration
	now                    func() time.Time
	counters               *counters
	key                    []byte
}

func newTokens(clientID, clientSecret string, life time.Duration, now func() time.Time, c *counters) *tokens {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // never fails
	return &tokens{clientID: clientID, clientSecret: clientSecret, life: life, now: now, counters: c, key: key}
}

// claims are those of an access token that count here.
type claims struct {
	Audience string `json:"aud"` // the organisation's URL
	Issuer   string `json:"iss"`
	AppID    string `json:"appid"`
	IssuedAt int64  `json:"iat"` // Unix seconds, as the others
	Begins   int64  `json:"nbf"`
	Ends     int64  `json:"exp"`
	ID       string `json:"uti"`
}

// isTokenRequest tells whether the request is for a token.
func isTokenRequest(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, tokenPath) }

// ServeHTTP serves the token endpoint, and the documents by which libraries find it.
func (t *tokens) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case isTokenRequest(r):
		t.serveToken(w, r)
	case r.Method != http.MethodGet:
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	case strings.HasSuffix(path, openIDPath):
		authority := baseURL(r) + strings.TrimSuffix(path, openIDPath)
		writeJSON(w, http.StatusOK, map[string]any{
			"token_endpoint":                        authority + tokenPath,
			"token_endpoint_auth_methods_supported": []string{"client_secret_post", "client_secret_basic"},
			"authorization_endpoint":                authority + "/oauth2/v2.0/authorize",
			"jwks_uri":                              authority + jwksPath,
			"issuer":                                authority + "/v2.0",
			"response_types_supported":              []string{"token"},
			"subject_types_supported":               []string{"pairwise"},
			"id_token_signing_alg_values_supported": []string{"RS256"},
		})
	case strings.HasSuffix(path, jwksPath):
		writeJSON(w, http.StatusOK, map[string]any{"keys": []any{}}) // the key that signs is nobody's business
	case path == discoveryPath:
		authority, _, _ := strings.Cut(r.URL.Query().Get("authorization_endpoint"), "/oauth2/")
		writeJSON(w, http.StatusOK, map[string]any{
			"tenant_discovery_endpoint": strings.TrimSuffix(authority, "/") + openIDPath,
			"api-version":               "1.1",
			"metadata":                  []any{},
		})
	default:
		http.NotFound(w, r)
	}
}

// serveToken answers a request for a token.
func (t *tokens) serveToken(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store, no-cache")
	if r.Method != http.MethodPost {
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	tenant, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	resource, refusal := t.grant(r, tenant)
	if refusal != nil {
		refusal.write(w, t.now())
		return
	}
	seconds := max(int(t.life/time.Second)-1, 0)
	writeJSON(w, http.StatusOK, map[string]any{
		"token_type":     "Bearer",
		"expires_in":     seconds,
		"ext_expires_in": seconds,
		"access_token":   t.issue(resource, baseURL(r)+"/"+tenant+"/v2.0"),
	})
}

// grant says for which resource the request gets a token.
func (t *tokens) grant(r *http.Request, tenant string) (resource string, refusal *authError) {
	if err := r.ParseForm(); err != nil {
		return "", &authError{http.StatusBadRequest, "invalid_request", 90013, "Invalid input received from the user."}
	}
	form := r.PostForm
	id, secret := form.Get("client_id"), form.Get("client_secret")
	if user, password, ok := r.BasicAuth(); ok {
		id, _ = url.QueryUnescape(user)
		secret, _ = url.QueryUnescape(password)
	}
	for _, missing := range []struct{ parameter, value string }{
		{"grant_type", form.Get("grant_type")}, {"client_id", id}, {"scope", form.Get("scope")},
	} {
		if missing.value == "" {
			return "", &authError{http.StatusBadRequest, "invalid_request", 900144,
				fmt.Sprintf("The request body must contain the following parameter: '%s'.", missing.parameter)}
		}
	}
	switch {
	case form.Get("grant_type") != "client_credentials":
		return "", &authError{http.StatusNotImplemented, "unsupported_grant_type", 70003,
			"The emulator knows the grant client_credentials only."}
	case form.Has("client_assertion"):
		return "", &authError{http.StatusNotImplemented, "invalid_request", 0,
			"The emulator knows client secrets only, no assertions."}
	case id != t.clientID:
		return "", &authError{http.StatusBadRequest, "unauthorized_client", 700016, fmt.Sprintf("Application with identifier "+
			"'%s' was not found in the directory '%s'. This can happen if the application has not been installed by the "+
			"administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication "+
			"request to the wrong tenant.", id, tenant)}
	case secret == "":
		return "", &authError{http.StatusUnauthorized, "invalid_client", 7000216, "'client_assertion', 'client_secret' or " +
			"'request' is required for the 'client_credentials' grant type."}
	case subtle.ConstantTimeCompare([]byte(secret), []byte(t.clientSecret)) != 1:
		return "", wrongSecret(id)
	}
	return resourceOf(form.Get("scope"))
}

// resourceOf takes the resource out of a scope: there must be one, with all its rights.
func resourceOf(scope string) (string, *authError) {
	resource, isDefault := strings.CutSuffix(scope, "/.default")
	u, err := url.Parse(resource)
	if err != nil || !isDefault || strings.Contains(scope, " ") || u.Host == "" {
		return "", &authError{http.StatusBadRequest, "invalid_scope", 70011, fmt.Sprintf("The provided value for the input "+
			"parameter 'scope' is not valid. The scope %s is not valid.", scope)}
	}
	return resource, nil
}

// issue makes a token for the resource, an organisation's URL.
func (t *tokens) issue(resource, issuer string) string {
	now := t.now()
	payload, err := json.Marshal(claims{
		Audience: resource, Issuer: issuer, AppID: t.clientID, ID: uuid.NewString(),
		IssuedAt: now.Unix(), Begins: now.Unix(), Ends: now.Add(t.life).Unix(),
	})
	if err != nil {
		panic(err) // strings and numbers only
	}
	unsigned := base64url([]byte(`{"typ":"JWT","alg":"HS256"}`)) + "." + base64url(payload)
	t.counters.token()
	return unsigned + "." + base64url(t.sign(unsigned))
}

func base64url(p []byte) string { return base64.RawURLEncoding.EncodeToString(p) }

func (t *tokens) sign(unsigned string) []byte {
	mac := hmac.New(sha256.New, t.key)
	mac.Write([]byte(unsigned))
	return mac.Sum(nil)
}

// wrap lets through to next what comes with a token that was issued here, for this host, and has not ended.
func (t *tokens) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if problem := t.check(r); problem != "" {
			challenge(w, r, problem)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// check returns what is wrong with the request's token, or nothing.
func (t *tokens) check(r *http.Request) (problem string) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "The request has no bearer token."
	}
	dot := strings.LastIndexByte(token, '.')
	if dot < 0 {
		return "The token was not issued by this emulator."
	}
	signature, err := base64.RawURLEncoding.DecodeString(token[dot+1:])
	if err != nil || !hmac.Equal(signature, t.sign(token[:dot])) {
		return "The token was not issued by this emulator, or not since it started."
	}
	_, payload, _ := strings.Cut(token[:dot], ".")
	decoded, err := base64.RawURLEncoding.DecodeString(payload)
	var c claims
	if err != nil || json.Unmarshal(decoded, &c) != nil {
		return "The token cannot be read."
	}
	if t.now().Unix() >= c.Ends {
		return tokenExpired
	}
	if u, err := url.Parse(c.Audience); err != nil || !strings.EqualFold(u.Host, r.Host) {
		return fmt.Sprintf("The token is for %s, not for %s.", c.Audience, baseURL(r))
	}
	return ""
}

// tokenExpired is the problem of a token that was right once.
const tokenExpired = "The token has expired."

// challenge answers 401, and says where to get a token.
func challenge(w http.ResponseWriter, r *http.Request, problem string) {
	base := baseURL(r)
	w.Header().Set("WWW-Authenticate",
		fmt.Sprintf("Bearer authorization_uri=%s/%s/oauth2/authorize, resource_id=%s/", base, homeTenant, base))
	(&apiError{Status: http.StatusUnauthorized, Message: problem}).write(w)
}

// baseURL is what the URLs of this server begin with, as the client sees them.
func baseURL(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// authError is how the token endpoint says no.
type authError struct {
	status int
	kind   string // of OAuth
	code   int    // AADSTS…, 0 for none
	text   string
}

// wrongSecret is the error for a client that is known, but not with this secret.
func wrongSecret(clientID string) *authError {
	return &authError{http.StatusUnauthorized, "invalid_client", 7000215, fmt.Sprintf("Invalid client secret provided. "+
		"Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added "+
		"to app '%s'.", clientID)}
}

func (e *authError) write(w http.ResponseWriter, now time.Time) {
	trace, correlation, stamp := uuid.NewString(), uuid.NewString(), now.UTC().Format("2006-01-02 15:04:05Z")
	text := e.text
	codes := []int{}
	if e.code != 0 {
		text, codes = fmt.Sprintf("AADSTS%d: %s", e.code, text), []int{e.code}
	}
	writeJSON(w, e.status, map[string]any{
		"error": e.kind,
		"error_description": fmt.Sprintf("%s\r\nTrace ID: %s\r\nCorrelation ID: %s\r\nTimestamp: %s",
			text, trace, correlation, stamp),
		"error_codes":    codes,
		"timestamp":      stamp,
		"trace_id":       trace,
		"correlation_id": correlation,
	})
}

// writeJSON answers with what is not of the Web API.
func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client has gone if this fails
}
