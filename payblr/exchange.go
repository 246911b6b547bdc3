package payblr

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// exchanger gets access tokens by OAuth 2.0 client credentials (RFC 6749, 4.4).
type exchanger struct {
	cfg       *Config
	transport http.RoundTripper
	tracing   *tracing
}

// exchange makes one token request. x/oauth2 writes it and reads the token; what
// it says about failures is not used, because it quotes the body. The error has
// no Call yet.
func (x *exchanger) exchange(ctx context.Context) (grant, *Error) {
	start := time.Now()
	ctx, span := x.tracing.startExchange(ctx)
	reply := &tokenReply{base: x.transport, userAgent: x.cfg.UserAgent}
	conf := clientcredentials.Config{
		ClientID:     x.cfg.ClientID,
		ClientSecret: x.cfg.ClientSecret.Reveal(),
		TokenURL:     x.cfg.TokenURL,
		Scopes:       strings.Fields(x.cfg.Scope),
		AuthStyle:    oauth2.AuthStyleInParams,
	}
	client := &http.Client{Transport: reply, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	token, err := conf.Token(context.WithValue(ctx, oauth2.HTTPClient, client))

	reason := reply.reason()
	if reason == "" && (err != nil || !usable(token)) {
		reason = ReasonTokenUnreadable
	}
	endSpan(span, reply.status, reason)
	x.cfg.Observe(Call{Name: CallToken, Status: reply.status, Class: reason.Class(), Reason: reason, Duration: time.Since(start)})
	if reason != "" {
		if reply.err != nil && ctx.Err() != nil {
			reply.err = context.Cause(ctx)
		}
		return grant{}, &Error{
			Class: reason.Class(), Reason: reason, Status: reply.status,
			RetryAfter: reply.retryAfter, Code: reply.code, Err: showable(reply.err),
		}
	}
	return grant{value: NewSecret(token.AccessToken), lifetime: reply.lifetime}, nil
}

// usable reports whether a token can go into an Authorization: Bearer header.
func usable(t *oauth2.Token) bool {
	bearer := t.TokenType == "" || strings.EqualFold(t.TokenType, "Bearer")
	return bearer && t.AccessToken != "" && headerSafe(t.AccessToken)
}

// tokenReply is the transport of one token request. It bounds the reply, keeps
// what is needed of it, and hands x/oauth2 a plain one: that library would read
// a text/plain reply as a form, fail on a fractional expires_in, let a negative
// one overflow, and carry error_description, which is not for us to print.
type tokenReply struct {
	base      http.RoundTripper
	userAgent string

	status     int   // 0 = no reply
	err        error // why the exchange ended early
	errorCode  string
	code       string // AADSTS…
	lifetime   time.Duration
	retryAfter time.Duration
}

// RoundTrip makes the request.
func (t *tokenReply) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", t.userAgent)
	resp, err := t.base.RoundTrip(req)
	if err != nil {
		t.err = err
		return nil, err
	}
	defer resp.Body.Close()
	t.status = resp.StatusCode
	t.retryAfter = retryAfter(resp.Header, time.Now())
	var body []byte
	if resp.StatusCode >= 200 {
		if body, t.err = readBody(resp.Body); t.err != nil {
			return nil, t.err
		}
	}
	plain := t.read(body)
	clear(body)
	return &http.Response{
		Status: resp.Status, StatusCode: resp.StatusCode,
		Proto: resp.Proto, ProtoMajor: resp.ProtoMajor, ProtoMinor: resp.ProtoMinor,
		Header: http.Header{"Content-Type": {"application/json"}},
		Body:   io.NopCloser(bytes.NewReader(plain)), ContentLength: int64(len(plain)),
		Request: req,
	}, nil
}

// The forms of what is kept of an error body: RFC 6749's error and Entra's code.
var (
	oauthErrorForm = regexp.MustCompile(`^[a-z_]{1,40}$`)
	entraCode      = regexp.MustCompile(`\bAADSTS[0-9]{4,8}\b`)
)

// read takes from a body what is needed and returns it again as plain JSON.
func (t *tokenReply) read(body []byte) []byte {
	var fields struct {
		AccessToken      any `json:"access_token"`
		TokenType        any `json:"token_type"`
		ExpiresIn        any `json:"expires_in"`
		Error            any `json:"error"`
		ErrorDescription any `json:"error_description"`
	}
	_ = json.Unmarshal(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")), &fields) // unreadable = nothing in it
	t.lifetime = lifetime(fields.ExpiresIn)
	if description, ok := fields.ErrorDescription.(string); ok {
		t.code = entraCode.FindString(description)
	}
	if fields.Error != nil {
		t.errorCode = "unknown"
		if s, ok := fields.Error.(string); ok && oauthErrorForm.MatchString(s) {
			t.errorCode = s
		}
	}
	text := func(v any) string {
		s, _ := v.(string)
		return s
	}
	plain, err := json.Marshal(map[string]string{
		"access_token": text(fields.AccessToken), "token_type": text(fields.TokenType), "error": t.errorCode,
	})
	if err != nil {
		panic("payblr: three strings do not marshal: " + err.Error())
	}
	return plain
}

// lifetime reads expires_in, which comes as number or string; 0 = none that
// makes sense.
func lifetime(expiresIn any) time.Duration {
	var seconds float64
	switch v := expiresIn.(type) {
	case float64:
		seconds = v
	case string:
		seconds, _ = strconv.ParseFloat(strings.TrimSpace(v), 64)
	}
	if math.IsNaN(seconds) || seconds <= 0 {
		return 0
	}
	if seconds >= maxLifetime.Seconds() {
		return maxLifetime
	}
	return time.Duration(seconds * float64(time.Second))
}

// reason classifies the reply; "" = it is for x/oauth2 to read. The error member
// decides before the status: Entra answers invalid_client with 401 or 400.
func (t *tokenReply) reason() Reason {
	switch t.errorCode {
	case "":
	case "invalid_client", "unauthorized_client", "invalid_scope", "invalid_request",
		"invalid_grant", "unsupported_grant_type", "invalid_resource", "access_denied":
		return ReasonClientRefused
	case "temporarily_unavailable", "server_error":
		if t.status != http.StatusTooManyRequests {
			return ReasonTokenUnavailable
		}
	}
	switch {
	case errors.Is(t.err, errBodyTooLarge):
		return ReasonTokenUnreadable
	case t.err != nil || t.status == 0:
		return ReasonTokenUnavailable
	case t.status == http.StatusTooManyRequests:
		return ReasonTokenThrottled
	case t.status == http.StatusRequestTimeout || t.status >= 500 && t.status <= 599:
		return ReasonTokenUnavailable
	case t.status == http.StatusUnauthorized || t.errorCode != "":
		return ReasonClientRefused
	case t.status < 200 || t.status > 299:
		return ReasonTokenUnreadable
	}
	return ""
}
