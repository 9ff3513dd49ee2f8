package dataverse

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// Config says which organisation to talk to, and as whom.
type Config struct {
	URL      string // of the organisation: https://contoso.crm.dynamics.com; http:// is for loopback addresses only
	TenantID string // of the directory, an id or a domain
	ClientID string // of the app registration
	// ClientSecret returns the secret when a token is asked for. It is a func so that no print of a Config shows it.
	ClientSecret func() string
	// Authority issues the tokens; empty is the public cloud's. http:// is for loopback addresses only.
	Authority string
	// Transport sends requests; nil makes one of its own. It must not keep cookies: they would pin all requests to one
	// web server and its limits.
	Transport http.RoundTripper
	// Log gets each request at debug level, never a secret or a value; nil logs nothing.
	Log *slog.Logger
	// Now is the clock by which tokens age and dates of Retry-After count; nil is time.Now.
	Now func() time.Time
	// UserAgent names the program to the organisation; empty is runmetrics.
	UserAgent string
}

const (
	publicAuthority = "https://login.microsoftonline.com"
	apiPath         = "/api/data/v9.2/"
)

// requestLimit ends a request that its caller's context does not: the load balancer of the service gives up after
// four minutes of silence.
const requestLimit = 3 * time.Minute

// maxBody is the greatest answer that is read, in bytes. A page of 5,000 rows has a few millions.
const maxBody = 64 << 20

// Client talks to the Web API of one organisation. It repeats nothing but a request whose token was not accepted, once:
// whoever calls decides about everything else. All methods may be called by several goroutines at once.
type Client struct {
	organization *url.URL
	http         *http.Client
	tokens       *tokens
	log          *slog.Logger
	now          func() time.Time
	userAgent    string
}

// New makes a client without any request. The error names every fault of the configuration.
func New(c Config) (*Client, error) {
	organization, urlErr := parseOrigin("URL", c.URL)
	if c.Authority == "" {
		c.Authority = publicAuthority
	}
	authority, authorityErr := parseOrigin("Authority", c.Authority)
	if err := errors.Join(urlErr, authorityErr, checkTenant(c.TenantID), checkIdentity(c)); err != nil {
		return nil, fmt.Errorf("configure Dataverse client: %w", err)
	}
	if c.Transport == nil {
		c.Transport = newTransport()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.UserAgent == "" {
		c.UserAgent = "runmetrics"
	}
	client := &Client{organization: organization, log: c.Log, now: c.Now, userAgent: c.UserAgent, http: &http.Client{
		Transport: c.Transport,
		// A redirect would carry the token, or the secret, to wherever it points.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	client.tokens = newTokens(credentials{
		tokenURL: authority.JoinPath(c.TenantID, "oauth2/v2.0/token").String(),
		scope:    organization.String() + "/.default",
		clientID: c.ClientID,
		secret:   c.ClientSecret,
		http:     client.http,
	}, c.Now, c.Log)
	return client, nil
}

// newTransport keeps connections for nearly as many requests as the service allows at once (52). A connection that went
// dead without a word is found out by pings, where several requests share it (HTTP/2); else each request has its own.
func newTransport() *http.Transport {
	const connections, silence = 50, 15 * time.Second
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second,
		ForceAttemptHTTP2:   true,
		HTTP2:               &http.HTTP2Config{SendPingTimeout: silence, PingTimeout: silence},
		MaxConnsPerHost:     connections,
		MaxIdleConnsPerHost: connections,
		IdleConnTimeout:     90 * time.Second,
	}
}

// Format prints where the client leads to, whatever the verb. The rest is nobody's business: there is a token in it.
func (c Client) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "Dataverse at %s", c.organization) }

// Close closes idle connections. Requests under way go on.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// parseOrigin reads a URL that consists of scheme and host.
func parseOrigin(name, text string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimRight(text, "/"))
	switch {
	case text == "":
		return nil, fmt.Errorf("%s is missing", name)
	case err != nil || u.Host == "" || u.User != nil: // the text may hold a password: it is not shown
		return nil, fmt.Errorf("%s must be https://<host>", name)
	case u.Path != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("%s must be https://%s, without anything after the host", name, u.Host)
	case u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname()):
		return u, nil
	}
	return nil, fmt.Errorf("%s must begin with https:// (http:// is for loopback addresses only)", name)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// checkTenant keeps everything out of the token endpoint's path that is no id and no domain.
func checkTenant(tenant string) error {
	odd := func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.')
	}
	switch {
	case tenant == "":
		return errors.New("TenantID is missing")
	case strings.ContainsFunc(tenant, odd) || strings.Trim(tenant, ".") == "":
		return errors.New("TenantID must be the directory's id or a domain of it")
	}
	return nil
}

func checkIdentity(c Config) error {
	var faults []error
	if c.ClientID == "" {
		faults = append(faults, errors.New("ClientID is missing"))
	}
	if c.ClientSecret == nil || c.ClientSecret() == "" {
		faults = append(faults, errors.New("ClientSecret is missing"))
	}
	return errors.Join(faults...)
}

// request is one call of the Web API.
type request struct {
	op     string // for errors and logs: "upsert 3 rows of apex_campaignmetrics"
	method string
	url    string
	header http.Header // besides those that every request has
	body   []byte      // JSON, nil without
}

// response is an answer that says yes.
type response struct {
	status int
	header http.Header
	body   []byte
	took   time.Duration
}

// url is that of a path below the API's root.
func (c *Client) url(path string) string { return c.organization.String() + apiPath + path }

// do sends a request. A token that is not accepted is replaced once: it may have been revoked before its time.
func (c *Client) do(ctx context.Context, r request) (*response, error) {
	token, err := c.tokens.get(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.op, err)
	}
	answer, err := c.try(ctx, r, token)
	var refusal *Error
	if !errors.As(err, &refusal) || refusal.Status != http.StatusUnauthorized {
		return answer, err
	}
	c.log.WarnContext(ctx, "Dataverse did not accept the token; asking for another", "error", refusal)
	if token, err = c.tokens.get(ctx, token); err != nil {
		return nil, fmt.Errorf("%s: %w", r.op, err)
	}
	return c.try(ctx, r, token)
}

// try sends a request once.
func (c *Client) try(ctx context.Context, r request, token string) (*response, error) {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	sent := new(sending)
	req, err := http.NewRequestWithContext(sent.trace(ctx), r.method, r.url, bytes.NewReader(r.body))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.op, err)
	}
	id := uuid.NewString()
	c.setHeader(req, r, token, id)
	began := time.Now()
	answer, failure := c.exchange(req, sent)
	took := time.Since(began)
	if failure != nil {
		failure.Op = r.op
		if failure.Status != 0 || failure.lost { // else nobody has heard of it
			failure.RequestID = cmp.Or(failure.RequestID, id)
		}
		failure.withhold(token)
		c.log.DebugContext(ctx, "Dataverse request failed", "error", failure, "client_request_id", id, "took", took)
		return nil, failure
	}
	c.log.DebugContext(ctx, "Dataverse request", "op", r.op, "client_request_id", id, "took", took)
	answer.took = took
	return answer, nil
}

// exchange sends a request and reads the answer.
func (c *Client) exchange(req *http.Request, sent *sending) (*response, *Error) {
	answer, err := c.http.Do(req)
	if err != nil {
		return nil, unanswered(err, sent.mayHaveArrived())
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxBody+1))
	switch {
	case answer.StatusCode >= 300:
		return nil, refused(answer, body, c.now())
	case req.Method != http.MethodGet: // it took place, whatever became of the rest of the answer
	case err != nil:
		return nil, unanswered(err, false)
	case len(body) > maxBody:
		return nil, unanswered(fmt.Errorf("more than %d bytes came", maxBody), false)
	}
	return &response{status: answer.StatusCode, header: answer.Header, body: body}, nil
}

// setHeader sets what Microsoft asks of every request, and then what the request brings.
func (c *Client) setHeader(req *http.Request, r request, token, id string) {
	h := req.Header
	h.Set("Authorization", "Bearer "+token)
	h.Set("Accept", "application/json")
	h.Set("OData-MaxVersion", "4.0")
	h.Set("OData-Version", "4.0")
	h.Set("If-None-Match", "null") // the word: no cache on the way may answer
	h.Set("User-Agent", c.userAgent)
	h.Set("x-ms-client-request-id", id)
	if r.body != nil {
		h.Set("Content-Type", "application/json; charset=utf-8")
	}
	for name, values := range r.header {
		h[name] = values
	}
}

// sending watches how far a request got.
type sending struct {
	watched, written atomic.Bool
}

func (s *sending) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:      func(string) { s.watched.Store(true) },
		WroteHeaders: func() { s.written.Store(true) },
	})
}

// mayHaveArrived is false where the headers were not written. A transport that does not report gets the benefit of the
// doubt.
func (s *sending) mayHaveArrived() bool { return s.written.Load() || !s.watched.Load() }

// WhoAmI is who Dataverse takes the client for.
type WhoAmI struct {
	UserID         uuid.UUID // of the application user
	BusinessUnitID uuid.UUID
	OrganizationID uuid.UUID
	DOPHint        int // how many requests at once the service recommends, 0 where it says nothing
}

// WhoAmI is the cheapest request that needs everything: network, token, application user.
func (c *Client) WhoAmI(ctx context.Context) (WhoAmI, error) {
	const op = "ask Dataverse who we are"
	answer, err := c.do(ctx, request{op: op, method: http.MethodGet, url: c.url("WhoAmI")})
	if err != nil {
		return WhoAmI{}, err
	}
	var body struct {
		UserID         uuid.UUID `json:"UserId"`
		BusinessUnitID uuid.UUID `json:"BusinessUnitId"`
		OrganizationID uuid.UUID `json:"OrganizationId"`
	}
	if err := answer.decode(op, &body); err != nil {
		return WhoAmI{}, err
	}
	return WhoAmI{body.UserID, body.BusinessUnitID, body.OrganizationID, answer.dopHint()}, nil
}
