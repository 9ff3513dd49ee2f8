package dataverse

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/apexsalesai/runmetrics/sinks"
)

const (
	// reserve is how long before its end a token is replaced: a 60-minute token is used for 55. It is a twelfth of what
	// lives shorter.
	reserve = 5 * time.Minute
	// tokenLimit ends a request for a token.
	tokenLimit = 30 * time.Second
	// tokenPause is how long a token is used on after a failure to replace it, before the next attempt.
	tokenPause = 10 * time.Second
)

// credentials are what the authority wants to see for a token.
type credentials struct {
	tokenURL string
	scope    string
	clientID string
	secret   func() string
	http     *http.Client
}

// token is one that the authority issued.
type token struct {
	text  string
	renew time.Time // from then on it is replaced
	ends  time.Time
}

// tokens hands out the current token. However many callers find it old, one request replaces it.
type tokens struct {
	credentials credentials
	now         func() time.Time
	log         *slog.Logger

	mu      sync.Mutex
	current token
	refresh *refresh // under way, or nil
}

// refresh is a request for a token that callers wait for. It does not end with the one who started it, but with the last
// who waits.
type refresh struct {
	done    chan struct{} // closed when token and err are set
	token   token
	err     error
	waiting int // under the lock of tokens
	cancel  context.CancelFunc
}

func newTokens(c credentials, now func() time.Time, log *slog.Logger) *tokens {
	return &tokens{credentials: c, now: now, log: log}
}

// get returns a token to use now: another one than the one that was not accepted, if there was one. Of several who come
// with the same, the first has it replaced, and the others find that done.
func (t *tokens) get(ctx context.Context, rejected string) (string, error) {
	t.mu.Lock()
	if t.current.text == rejected {
		t.current = token{}
	}
	if current := t.current; t.now().Before(current.renew) {
		t.mu.Unlock()
		return current.text, nil
	}
	return t.await(ctx, t.join())
}

// join has the caller wait for the refresh under way, or starts one. It is called with the lock held and releases it.
func (t *tokens) join() *refresh {
	defer t.mu.Unlock()
	if t.refresh == nil {
		ctx, cancel := context.WithTimeout(context.Background(), tokenLimit)
		t.refresh = &refresh{done: make(chan struct{}), cancel: cancel}
		go t.run(ctx, t.refresh)
	}
	t.refresh.waiting++
	return t.refresh
}

// await waits for a refresh as long as the caller's context lasts.
func (t *tokens) await(ctx context.Context, r *refresh) (string, error) {
	select {
	case <-r.done:
		return r.token.text, r.err
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.waiting--; r.waiting == 0 {
		r.cancel()
		if t.refresh == r {
			t.refresh = nil
		}
	}
	e := unanswered(ctx.Err(), false)
	e.Op = opToken
	return "", e
}

// run asks for a token and hands it to all who wait. A token that still holds is used on if there is no other.
func (t *tokens) run(ctx context.Context, r *refresh) {
	defer r.cancel()
	asked := t.now()
	fresh, err := t.credentials.ask(ctx, asked)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refresh == r {
		t.refresh = nil
		switch {
		case err == nil:
			t.current = fresh
			t.log.DebugContext(ctx, "got a token for Dataverse", "renewed_in", fresh.renew.Sub(asked))
		case t.now().Before(t.current.ends):
			t.log.WarnContext(ctx, "cannot replace the token for Dataverse; using it until it ends", "ends", t.current.ends, "error", err)
			t.current.renew = t.now().Add(tokenPause)
			fresh, err = t.current, nil
		}
	}
	r.token, r.err = fresh, err
	close(r.done)
}

const opToken = "get a token for Dataverse"

// NoToken tells whether a request failed before it was sent, for want of a token: the authority is away, or issues none.
func NoToken(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Op == opToken
}

// ask requests a token. Its life counts from before the request.
func (c *credentials) ask(ctx context.Context, now time.Time) (token, error) {
	secret := c.secret()
	config := clientcredentials.Config{
		ClientID: c.clientID, ClientSecret: secret, TokenURL: c.tokenURL, Scopes: []string{c.scope},
		AuthStyle: oauth2.AuthStyleInParams,
	}
	issued, err := config.Token(context.WithValue(ctx, oauth2.HTTPClient, c.http))
	if err != nil {
		e := tokenRefused(err, now)
		e.Op = opToken
		e.withhold(secret)
		return token{}, e
	}
	life := time.Until(issued.Expiry).Round(time.Second) // by the clock that oauth2 reads
	if issued.Expiry.IsZero() {
		life = time.Hour
	}
	return token{text: issued.AccessToken, renew: now.Add(life - min(reserve, life/12)), ends: now.Add(life)}, nil
}

// tokenRefused makes an *Error of what oauth2 says. It takes over facts and no object, because those hold the request
// with the secret.
func tokenRefused(err error, now time.Time) *Error {
	var refusal *oauth2.RetrieveError
	if !errors.As(err, &refusal) {
		return unanswered(err, false)
	}
	var body struct {
		Codes   []int  `json:"error_codes"`
		TraceID string `json:"trace_id"`
	}
	_ = json.Unmarshal(refusal.Body, &body) // a gateway answers HTML: then there is only the status
	first, _, _ := strings.Cut(refusal.ErrorDescription, "\r\n")
	if first == "" {
		first = refusal.ErrorCode
	}
	e := &Error{
		Status:     refusal.Response.StatusCode,
		Message:    clean(first),
		RequestID:  clean(body.TraceID),
		RetryAfter: retryAfter(refusal.Response.Header.Get("Retry-After"), now),
		meaning:    sinks.ErrBlocked,
	}
	if e.Status == http.StatusTooManyRequests || e.Status == http.StatusRequestTimeout || e.Status >= 500 {
		e.meaning = sinks.ErrUnavailable
		return e
	}
	e.Hint = "the authority refuses to issue a token: check DATAVERSE_AUTHORITY, DATAVERSE_TENANT_ID, " +
		"DATAVERSE_CLIENT_ID and DATAVERSE_CLIENT_SECRET"
	if len(body.Codes) > 0 {
		e.Code = fmt.Sprintf("AADSTS%d", body.Codes[0])
		e.Message = strings.TrimPrefix(e.Message, e.Code+": ")
		if known := tokenHints[body.Codes[0]]; known != "" {
			e.Hint = known
		}
	}
	return e
}

// tokenHints say which part of the configuration the authority's error is about.
var tokenHints = map[int]string{
	7000215: "the client secret is wrong: DATAVERSE_CLIENT_SECRET must be a secret's value, not its id",
	7000222: "the client secret has expired: add a new one to the app registration and set DATAVERSE_CLIENT_SECRET",
	7000216: "the client secret is missing: set DATAVERSE_CLIENT_SECRET",
	700016:  "the client id is unknown in this tenant: correct DATAVERSE_CLIENT_ID or DATAVERSE_TENANT_ID",
	7000229: "the client id has no service principal in this tenant: an administrator must consent to the app",
	7000112: "the client id is of a disabled app registration: enable it, or set another DATAVERSE_CLIENT_ID",
	90002:   "the tenant does not exist: DATAVERSE_TENANT_ID must be the directory's id or a domain of it",
	900023:  "the tenant is neither an id nor a domain: correct DATAVERSE_TENANT_ID",
	500011:  "the tenant knows no organization at this URL: DATAVERSE_URL must be one of the tenant DATAVERSE_TENANT_ID",
	70011:   "the tenant knows no organization at this URL: correct DATAVERSE_URL",
}
