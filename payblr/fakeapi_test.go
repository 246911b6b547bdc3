package payblr

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// The canaries: no error may hold any of them.
const (
	canarySecret = "canary-client-secret"
	canaryToken  = "canary-access-token"
	canaryKey    = "canary-subscription-key"
	canaryPIN    = "70105930"
	canaryCard   = "Qx7Zk9Wv2"
)

// seenRequest is a request that the fake API received.
type seenRequest struct {
	Method, Path, Body string
	Header             http.Header
}

// fakeAPI is a token endpoint at /token and an API elsewhere, both replaceable.
type fakeAPI struct {
	*httptest.Server

	mu     sync.Mutex
	tokens []seenRequest
	calls  []seenRequest

	// token and api answer; attempt counts from 1 for each of them.
	token func(w http.ResponseWriter, r *http.Request, attempt int)
	api   func(w http.ResponseWriter, r *http.Request, attempt int)
}

// newFakeAPI starts an API that issues tokens and says every PIN and CVV is
// unblocked. start is (*httptest.Server).Start or StartTLS, nil for the former.
func newFakeAPI(t testing.TB, start func(*httptest.Server)) *fakeAPI {
	t.Helper()
	f := &fakeAPI{
		token: func(w http.ResponseWriter, _ *http.Request, attempt int) {
			writeToken(w, fmt.Sprintf("%s-%d", canaryToken, attempt), "3600")
		},
		api: func(w http.ResponseWriter, r *http.Request, _ int) {
			if r.Method != http.MethodGet {
				w.WriteHeader(http.StatusNoContent)
				return
			}
			writeJSON(w, http.StatusOK, `{"status":"Unblocked","remainingTries":"3"}`)
		},
	}
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(f.serve))
	f.Server.Config.ErrorLog = discard
	if start == nil {
		start = (*httptest.Server).Start
	}
	start(f.Server)
	t.Cleanup(f.Close)
	return f
}

func startHTTP2(s *httptest.Server) {
	s.EnableHTTP2 = true
	s.StartTLS()
}

func (f *fakeAPI) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	seen := seenRequest{Method: r.Method, Path: r.URL.EscapedPath(), Body: string(body), Header: r.Header.Clone()}
	f.mu.Lock()
	list, answer := &f.calls, f.api
	if r.URL.Path == "/token" {
		list, answer = &f.tokens, f.token
	}
	*list = append(*list, seen)
	attempt := len(*list)
	f.mu.Unlock()
	answer(w, r, attempt)
}

// requests returns what the API received so far, token requests aside.
func (f *fakeAPI) requests() []seenRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]seenRequest(nil), f.calls...)
}

func (f *fakeAPI) tokenRequests() []seenRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]seenRequest(nil), f.tokens...)
}

func (f *fakeAPI) wantRequests(t testing.TB, tokens, calls int) {
	t.Helper()
	if got := len(f.tokenRequests()); got != tokens {
		t.Errorf("token requests = %d, want %d", got, tokens)
	}
	if got := len(f.requests()); got != calls {
		t.Errorf("API requests = %d, want %d", got, calls)
	}
}

// client returns a client of the fake API, closed with the test.
func (f *fakeAPI) client(t testing.TB, change ...func(*Config)) *Client {
	t.Helper()
	cfg := Config{
		BaseURL:         f.URL,
		TokenURL:        f.URL + "/token",
		ClientID:        "client-1",
		ClientSecret:    NewSecret(canarySecret),
		Scope:           "api://app/.default",
		SubscriptionKey: NewSecret(canaryKey),
		Timeout:         patience,
	}
	for _, c := range change {
		c(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	if cert := f.Certificate(); cert != nil {
		c.transport.TLSClientConfig.RootCAs = f.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	}
	t.Cleanup(c.Close)
	return c
}

func timeout(d time.Duration) func(*Config) { return func(c *Config) { c.Timeout = d } }

func writeJSON(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body) // the client may be gone
}

func writeToken(w http.ResponseWriter, token, expiresIn string) {
	writeJSON(w, http.StatusOK, fmt.Sprintf(`{"token_type":"Bearer","expires_in":%s,"access_token":%q}`, expiresIn, token))
}

// hangUp closes the connection under a handler without an answer.
func hangUp(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // HTTP/2: resets the stream
	}
	_ = conn.Close() // nothing to do about it
}

// wantError fails the test unless err is an *Error of that class and reason.
func wantError(t testing.TB, err error, class Class, reason Reason) *Error {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("error = %v (%T), want *Error %v (%s)", err, err, class, reason)
	}
	if e.Class != class || e.Reason != reason {
		t.Fatalf("error = %v (%s), want %v (%s): %v", e.Class, e.Reason, class, reason, err)
	}
	return e
}
