package payblr

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"time"
)

// Client calls the API. Make it with [New]. It is safe for concurrent use and
// meant to be shared: one per process holds one access token and one pool of
// connections.
type Client struct {
	cfg       *Config
	transport *http.Transport
	tokens    *tokenSource
	tracing   *tracing
}

// New returns a client for cfg, or all that is wrong with cfg. It makes no
// connection; [Client.CheckToken] does.
func New(cfg Config) (*Client, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	transport, tracing := newTransport(cfg), newTracing(&cfg)
	return &Client{
		cfg:       &cfg,
		transport: transport,
		tokens:    newTokenSource((&exchanger{cfg: &cfg, transport: transport, tracing: tracing}).exchange, cfg.Timeout),
		tracing:   tracing,
	}, nil
}

// CheckToken makes sure of an access token: it returns nil at once while there
// is a valid one and otherwise obtains one. It makes no API call, so it suits a
// readiness check. Errors are [*Error] with Call = CallToken.
func (c *Client) CheckToken(ctx context.Context) error {
	if _, err := c.tokens.get(ctx, 0); err != nil {
		return err.during(CallToken)
	}
	return nil
}

// Reach connects to the API and returns nil when any answer comes. It is no call of the API: it asks for the headers
// of the base URL itself, without a token and about no card. Neither Config.Gate nor Config.Observe hears of it.
// Errors are [*Error] with Call = CallReach.
func (c *Client) Reach(ctx context.Context) error {
	a := newAttempt(ctx, c.cfg.Timeout)
	defer a.end()
	e := &Error{Call: CallReach}
	req, err := http.NewRequestWithContext(a.ctx, http.MethodHead, c.cfg.BaseURL+"/", http.NoBody)
	if err != nil { // Its text would quote the URL.
		e.Class, e.Reason = ReasonConnectFailed.Class(), ReasonConnectFailed
		return e
	}
	req.Header.Set("User-Agent", c.cfg.UserAgent)
	resp, err := c.transport.RoundTrip(req)
	if err == nil {
		// An answer to HEAD has no body that an error could come from.
		_ = resp.Body.Close()
		return nil
	}
	o := outcome{err: a.cause(err), connected: a.connected()}
	e.Class, e.Reason = classify(o)
	e.Err = showable(o.err)
	return e
}

// Close ends a token exchange in flight and closes idle connections. Call it
// when no other method runs or will be called. It may be called twice.
func (c *Client) Close() {
	c.tokens.close()
	c.transport.CloseIdleConnections()
}

// Format prints a placeholder. A Client that ends up in a log line would
// otherwise be printed down to the transport's fields while they are in use.
func (c *Client) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("payblr.Client")) }

// endpoint is where a call goes: method, and the path around the public token.
type endpoint struct {
	method, before, after string
}

var endpoints = map[CallName]endpoint{
	CallPINStatus:  {http.MethodGet, "/thr/thredd/card-pin/", "/pin/status"},
	CallCVVStatus:  {http.MethodGet, "/thr/thredd/card-cvv/", "/cvv/status"},
	CallUnblockPIN: {http.MethodPost, "/thr/thredd/card-pin/", "/pin/unblock"},
	CallUnblockCVV: {http.MethodPut, "/thr/thredd/card-cvv/", "/cvv/status"},
	CallPIN:        {http.MethodGet, "/thr/thredd/card-pin/", "/pin"},
}

// publicTokenForm also keeps a card number, which is longer, from being sent.
var publicTokenForm = regexp.MustCompile(`^[A-Za-z0-9]{1,9}$`)

// call makes one call of the API, and after a 401 a second one with a newer
// token. decode reads the body of a reply that went well, which it must not
// keep; nil for calls that return nothing.
func (c *Client) call(ctx context.Context, name CallName, publicToken string, body []byte, decode func([]byte) Reason) error {
	if !publicTokenForm.MatchString(publicToken) {
		return &Error{Call: name, Class: ReasonInvalidPublicToken.Class(), Reason: ReasonInvalidPublicToken}
	}
	var refused uint64 // generation of the access token that the API refused
	for {
		token, err := c.tokens.get(ctx, refused)
		if err != nil {
			return err.during(name)
		}
		if err := c.admit(ctx, name); err != nil {
			return err
		}
		req, buildErr := c.request(ctx, name, publicToken, token, body)
		if buildErr != nil {
			return buildErr
		}
		if err = c.send(name, token, req, decode); err == nil {
			return nil
		}
		if err.Reason != ReasonAccessTokenRefused || refused != 0 || !token.worthReplacing(time.Now()) {
			return err
		}
		refused = token.generation
	}
}

// admit asks whether the request may leave now. The result is nil or *Error; it
// is typed error so that a nil stays one.
func (c *Client) admit(ctx context.Context, name CallName) error {
	waitCtx, cancel := withStartLimit(ctx)
	defer cancel()
	gateErr := c.cfg.Gate(waitCtx, name)
	// Looked at after the gate, which may have taken long, and even when it let
	// the request pass.
	if reason, cause := cannotStart(ctx); reason != "" {
		return &Error{Call: name, Class: reason.Class(), Reason: reason, Err: errors.Join(cause, gateErr)}
	}
	if gateErr != nil {
		return &Error{Call: name, Class: ReasonGateRefused.Class(), Reason: ReasonGateRefused, Err: gateErr}
	}
	return nil
}

// request builds the HTTP request of a call.
func (c *Client) request(ctx context.Context, name CallName, publicToken string, token *accessToken, body []byte) (*http.Request, error) {
	e := endpoints[name]
	var content io.Reader
	if body != nil {
		content = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, e.method, c.cfg.BaseURL+e.before+url.PathEscape(publicToken)+e.after, content)
	if err != nil {
		// Its text would quote the URL. With a validated base URL and public
		// token it cannot be seen.
		return nil, &Error{Call: name, Class: ReasonConnectFailed.Class(), Reason: ReasonConnectFailed}
	}
	// Without GetBody the transport cannot send an unblock a second time: not
	// when a reused HTTP/1.1 connection closes on it, not on an HTTP/2 GOAWAY or
	// stream reset. For the same reason no Idempotency-Key header is set. What
	// it would do with a GET, see conn.
	req.GetBody = nil
	req.Header.Set("Authorization", "Bearer "+token.value.Reveal())
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.cfg.UserAgent)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if key := c.cfg.SubscriptionKey; !key.IsZero() {
		req.Header.Set("Ocp-Apim-Subscription-Key", key.Reveal())
	}
	return req, nil
}

// send makes one HTTP request and says what came of it; nil = it went well.
func (c *Client) send(name CallName, token *accessToken, req *http.Request, decode func([]byte) Reason) *Error {
	start := time.Now()
	ctx, span := c.tracing.startCall(req.Context(), name)
	a := newAttempt(ctx, c.cfg.Timeout)
	defer a.end()

	o := outcome{write: name.writes()}
	e := &Error{Call: name}
	resp, err := c.transport.RoundTrip(req.WithContext(a.ctx))
	o.connected = a.connected()
	if err != nil {
		o.err = a.cause(err)
	} else {
		body, err := readReply(resp, o.write)
		if err != nil {
			o.err = a.cause(err)
		}
		o.status, o.connected = resp.StatusCode, true
		if o.status < 200 || o.status > 299 {
			p := readProblem(body)
			o.hint, e.TraceID = p.hint, p.traceID
			e.RetryAfter = retryAfter(resp.Header, time.Now())
		}
		if o.status != http.StatusUnauthorized {
			token.accepted.Store(true)
		}
		if _, reason := classify(o); reason == "" && decode != nil {
			o.unreadable = decode(body)
			if o.unreadable != "" && a.ctx.Err() != nil {
				// A server that sees us hang up may end its half-sent body in good
				// order, just before the connection is gone.
				o.err = a.cause(a.ctx.Err())
			}
		}
		clear(body) // it may hold a PIN
	}
	e.Status = o.status
	e.Class, e.Reason = classify(o)
	e.Err = showable(o.err)
	endSpan(span, e.Status, e.Reason)
	c.cfg.Observe(Call{Name: name, Status: e.Status, Class: e.Class, Reason: e.Reason, RetryAfter: e.RetryAfter, Duration: time.Since(start)})
	if e.Reason == "" {
		return nil
	}
	return e
}

// readReply reads and closes the body. An accepted write is not made to wait for
// a body that says nothing, unless it is short and so frees the connection.
func readReply(resp *http.Response, write bool) ([]byte, error) {
	defer resp.Body.Close()
	switch ok := resp.StatusCode >= 200 && resp.StatusCode <= 299; {
	case resp.StatusCode < 200:
		return nil, nil // 101: the body is the connection
	case ok && write && (resp.ContentLength < 0 || resp.ContentLength > maxBody):
		return nil, nil
	}
	return readBody(resp.Body)
}
