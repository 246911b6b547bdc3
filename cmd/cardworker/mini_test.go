package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
)

const (
	miniID     = "client-1"
	miniSecret = "canary-client-secret"
	miniScope  = "api://mini/.default"
	miniAccess = "canary-access-token"
	miniKey    = "canary-subscription-key"
	miniStale  = "canary-stale-token"
)

// mini is an API of the tests' own, next to the sandbox: strict, and with every request written down as it
// came. Each card begins blocked.
type mini struct {
	*httptest.Server
	t      testing.TB
	key    string        // what it asks for as subscription key, or ""
	refuse bool          // refuse the credentials
	stale  bool          // give a first access token that is not taken
	held   chan struct{} // unless nil, unblocks are answered once it is closed
	sent   chan string   // unless nil, takes the path of each unblock when it has arrived

	mu        sync.Mutex
	tokens    int // that were given
	seen      []seen
	unblocked map[string]bool
}

// seen is a request as it came.
type seen struct {
	Line          string // method and path
	Authorization string
	ContentType   string
	Key           string
	Body          string
}

// newMini serves a mini API to the end of the test; set changes it before that.
func newMini(t testing.TB, set func(*mini)) *mini {
	t.Helper()
	m := &mini{t: t, unblocked: map[string]bool{}}
	if set != nil {
		set(m)
	}
	m.Server = httptest.NewServer(http.HandlerFunc(m.serve))
	t.Cleanup(m.Close)
	return m
}

// environ is what makes a worker use it.
func (m *mini) environ(redisURL string) []string {
	environ := []string{
		"REDIS_URL=" + redisURL, "PAYBLR_BASE_URL=" + m.URL, "PAYBLR_TOKEN_URL=" + m.URL + "/tenant/oauth2/v2.0/token",
		"PAYBLR_CLIENT_ID=" + miniID, "PAYBLR_CLIENT_SECRET=" + miniSecret, "PAYBLR_SCOPE=" + miniScope,
	}
	if m.key != "" {
		environ = append(environ, "PAYBLR_SUBSCRIPTION_KEY="+m.key)
	}
	return environ
}

// requests returns what has come so far, in order.
func (m *mini) requests() []seen {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]seen(nil), m.seen...)
}

// calls returns how many requests with this line have come.
func (m *mini) calls(line string) int {
	n := 0
	for _, r := range m.requests() {
		if r.Line == line {
			n++
		}
	}
	return n
}

var miniRoutes = map[string]*regexp.Regexp{
	"unblock": regexp.MustCompile(`^(?:POST /thr/thredd/card-pin/([0-9A-Za-z]+)/pin/unblock|PUT /thr/thredd/card-cvv/([0-9A-Za-z]+)/cvv/status)$`),
	"status":  regexp.MustCompile(`^(?:GET /thr/thredd/card-pin/([0-9A-Za-z]+)/pin/status|GET /thr/thredd/card-cvv/([0-9A-Za-z]+)/cvv/status)$`),
}

func (m *mini) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		m.t.Errorf("the mini API cannot read a body: %v", err)
	}
	line := r.Method + " " + r.URL.RequestURI()
	if trace := r.Header.Get("traceparent"); trace != "" {
		m.t.Errorf("the mini API is told of a trace: %s", trace)
	}
	m.mu.Lock()
	m.seen = append(m.seen, seen{line, r.Header.Get("Authorization"), r.Header.Get("Content-Type"), r.Header.Get("Ocp-Apim-Subscription-Key"), string(body)})
	m.mu.Unlock()

	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	switch {
	case line == "POST /tenant/oauth2/v2.0/token":
		m.token(w, r, body)
	case m.stale && r.Header.Get("Authorization") == "Bearer "+miniStale:
		w.WriteHeader(http.StatusUnauthorized)
	case r.Header.Get("Authorization") != "Bearer "+miniAccess, r.Header.Get("Ocp-Apim-Subscription-Key") != m.key:
		m.refused(w, http.StatusUnauthorized, line)
	case miniRoutes["unblock"].MatchString(line):
		m.unblock(w, r, line, body)
	case miniRoutes["status"].MatchString(line) && len(body) == 0:
		m.status(w, line)
	default:
		m.refused(w, http.StatusNotFound, line)
	}
}

func (m *mini) token(w http.ResponseWriter, r *http.Request, body []byte) {
	if m.refuse {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided: `+miniSecret+`"}`)
		return
	}
	form, err := url.ParseQuery(string(body))
	want := url.Values{"grant_type": {"client_credentials"}, "client_id": {miniID}, "client_secret": {miniSecret}, "scope": {miniScope}}
	if err != nil || form.Encode() != want.Encode() || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || r.Header.Get("Authorization") != "" {
		m.refused(w, http.StatusBadRequest, "token request")
		return
	}
	m.mu.Lock()
	m.tokens++
	token := miniAccess
	if m.stale && m.tokens == 1 {
		token = miniStale
	}
	m.mu.Unlock()
	_, _ = fmt.Fprintf(w, `{"token_type":"Bearer","expires_in":3599,"ext_expires_in":3599,"access_token":%q}`, token)
}

func (m *mini) unblock(w http.ResponseWriter, r *http.Request, line string, body []byte) {
	var fields map[string]string
	if err := json.Unmarshal(body, &fields); err != nil || r.Header.Get("Content-Type") != "application/json" {
		m.refused(w, http.StatusUnsupportedMediaType, line)
		return
	}
	if isCVV := r.Method == http.MethodPut; isCVV != (fields["status"] == "Unblocked") {
		m.refused(w, http.StatusBadRequest, line)
		return
	}
	if m.sent != nil {
		m.sent <- r.URL.Path
	}
	if m.held != nil {
		<-m.held
	}
	m.mu.Lock()
	m.unblocked[card(line)] = true
	m.mu.Unlock()
	w.Header().Del("Content-Type")
	w.WriteHeader(http.StatusNoContent)
}

func (m *mini) status(w http.ResponseWriter, line string) {
	m.mu.Lock()
	unblocked := m.unblocked[card(line)]
	m.mu.Unlock()
	word, tries := "Blocked", "0"
	if unblocked {
		word, tries = "Unblocked", "3"
	}
	if strings.Contains(line, "/cvv/") {
		_, _ = fmt.Fprintf(w, `{"status":%q}`, word)
		return
	}
	_, _ = fmt.Fprintf(w, `{"status":%q,"remainingTries":%q}`, word, tries)
}

// refused answers an error that no test here provokes.
func (m *mini) refused(w http.ResponseWriter, status int, line string) {
	m.t.Errorf("the mini API refuses %s with %d", line, status)
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"statusCode":%d,"message":"refused"}`, status)
}

var miniCard = regexp.MustCompile(`/card-(pin|cvv)/([^/]+)/`)

// card returns what a request is about: "pin" or "cvv", and the public token.
func card(line string) string {
	m := miniCard.FindStringSubmatch(line)
	return m[1] + " " + m[2]
}
