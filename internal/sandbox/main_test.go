package sandbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cardworker/cardworker/internal/sandbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

// bench is a started sandbox and a client with a good access token.
type bench struct {
	t      testing.TB
	box    *sandbox.Sandbox
	client *http.Client
	bearer string
	events chan sandbox.Entry
}

// start runs a sandbox until the test ends.
func start(t testing.TB, cfg sandbox.Config) *bench {
	t.Helper()
	events := make(chan sandbox.Entry, 4096)
	if cfg.Observe == nil {
		cfg.Observe = func(e sandbox.Entry) {
			select {
			case events <- e:
			default: // a test that makes so many calls does not wait for one
			}
		}
	}
	box, err := sandbox.New(cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	if err := box.Start(t.Context()); err != nil {
		t.Fatalf("Start: %v", err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	b := &bench{t: t, box: box, events: events, client: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := box.Stop(ctx); err != nil {
			t.Errorf("Stop: %v", err)
		}
	})
	b.bearer = b.newToken(cfg)
	box.ResetLedger()
	return b
}

func credentials(cfg sandbox.Config) url.Values {
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {sandbox.DefaultClientID},
		"client_secret": {sandbox.DefaultClientSecret}, "scope": {sandbox.DefaultScope},
	}
	if cfg.ClientSecret != "" {
		form.Set("client_secret", cfg.ClientSecret)
	}
	return form
}

func (b *bench) newToken(cfg sandbox.Config) string {
	b.t.Helper()
	r := b.postForm(credentials(cfg))
	if r.status != http.StatusOK {
		b.t.Fatalf("token request: status %d, want 200; body %s", r.status, r.body)
	}
	return r.object(b.t)["access_token"].(string)
}

func (b *bench) postForm(form url.Values) reply {
	b.t.Helper()
	return b.must(b.send("POST", "/oauth2/v2.0/token", form.Encode(),
		"Content-Type", "application/x-www-form-urlencoded", "Authorization", ""))
}

// reply is a whole answer.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (r reply) object(t testing.TB) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(r.body, &v); err != nil {
		t.Fatalf("body %q is no JSON object: %v", r.body, err)
	}
	return v
}

// send makes one request with the bearer token and, with a body, a JSON content
// type; headers are pairs that override these ("" removes).
func (b *bench) send(method, path, body string, headers ...string) (reply, error) {
	return b.sendCtx(b.t.Context(), method, path, body, headers...)
}

func (b *bench) sendCtx(ctx context.Context, method, path, body string, headers ...string) (reply, error) {
	var in io.Reader
	if body != "" {
		in = bytes.NewReader([]byte(body))
	}
	req, err := http.NewRequestWithContext(ctx, method, b.box.URL()+path, in)
	if err != nil {
		return reply{}, err
	}
	if body != "" {
		req.GetBody = nil // an unblock is never re-sent below the test
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Authorization", "Bearer "+b.bearer)
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i+1] == "" {
			req.Header.Del(headers[i])
			continue
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := b.client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, out}, err
}

func (b *bench) must(r reply, err error) reply {
	b.t.Helper()
	if err != nil {
		b.t.Fatalf("request failed: %v", err)
	}
	return r
}

// call makes a call as a client that knows the API makes it.
func (b *bench) call(kind sandbox.Call, token string) (reply, error) {
	return b.send(methodOf(kind), pathOf(kind, token), bodyOf(kind))
}

func methodOf(kind sandbox.Call) string {
	switch kind {
	case sandbox.CallUnblockPIN:
		return http.MethodPost
	case sandbox.CallUnblockCVV:
		return http.MethodPut
	}
	return http.MethodGet
}

func pathOf(kind sandbox.Call, card string) string {
	switch kind {
	case sandbox.CallCVVStatus, sandbox.CallUnblockCVV:
		return "/thr/thredd/card-cvv/" + card + "/cvv/status"
	case sandbox.CallPIN:
		return "/thr/thredd/card-pin/" + card + "/pin"
	case sandbox.CallPINStatus:
		return "/thr/thredd/card-pin/" + card + "/pin/status"
	}
	return "/thr/thredd/card-pin/" + card + "/pin/unblock"
}

func bodyOf(kind sandbox.Call) string {
	switch kind {
	case sandbox.CallUnblockCVV:
		return `{"status":"Unblocked"}`
	case sandbox.CallUnblockPIN:
		return "{}"
	}
	return ""
}

var cardCalls = []sandbox.Call{
	sandbox.CallCVVStatus, sandbox.CallPIN, sandbox.CallPINStatus, sandbox.CallUnblockCVV, sandbox.CallUnblockPIN,
}

// wantStatus makes a call and checks its HTTP status.
func (b *bench) wantStatus(kind sandbox.Call, token string, want int) reply {
	b.t.Helper()
	r, err := b.call(kind, token)
	if err != nil {
		b.t.Fatalf("%s on %s: %v, want status %d", kind, token, err, want)
	}
	if r.status != want {
		b.t.Fatalf("%s on %s: status %d, want %d; body %s", kind, token, r.status, want, r.body)
	}
	return r
}

// wantSaid reads a status and checks what it says.
func (b *bench) wantSaid(kind sandbox.Call, token, want string) {
	b.t.Helper()
	if got := b.wantStatus(kind, token, http.StatusOK).object(b.t)["status"]; got != want {
		b.t.Fatalf("%s on %s says %v, want %s", kind, token, got, want)
	}
}

// wantBroken makes a call that must end without a whole answer. It goes over a
// new connection: net/http re-sends a GET that a reused one loses.
func (b *bench) wantBroken(kind sandbox.Call, token string) error {
	b.t.Helper()
	b.client.CloseIdleConnections()
	r, err := b.call(kind, token)
	if err == nil {
		b.t.Fatalf("%s on %s: status %d, want a broken connection", kind, token, r.status)
	}
	return err
}

// last is the latest entry of the ledger.
func (b *bench) last() sandbox.Entry {
	b.t.Helper()
	entries := b.box.Ledger()
	if len(entries) == 0 {
		b.t.Fatal("the ledger is empty, want an entry")
	}
	return entries[len(entries)-1]
}

// await waits for an event of the ledger.
func (b *bench) await(what string, is func(sandbox.Entry) bool) sandbox.Entry {
	b.t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case e := <-b.events:
			if is(e) {
				return e
			}
		case <-deadline:
			b.t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

func (b *bench) addFault(f sandbox.Fault) {
	b.t.Helper()
	if err := b.box.AddFault(f); err != nil {
		b.t.Fatalf("AddFault: %v", err)
	}
}

// containsNone fails the test when text holds any of the secrets.
func containsNone(t testing.TB, where, text string, secrets ...string) {
	t.Helper()
	for i, secret := range secrets {
		if strings.Contains(text, secret) {
			t.Errorf("%s holds secret number %d", where, i)
		}
	}
}
