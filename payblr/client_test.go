package payblr

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestClient_UnblockAndReadMakeOneTokenRequestAndOneCallEach(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t, nil)
	c := api.client(t)

	if err := c.UnblockPIN(t.Context(), "103169946", Note{}); err != nil {
		t.Fatalf("UnblockPIN: %v", err)
	}
	status, err := c.PINStatus(t.Context(), "103169946")
	if err != nil {
		t.Fatalf("PINStatus: %v", err)
	}
	three := 3
	if diff := cmp.Diff(Status{Value: "Unblocked", RemainingTries: &three}, status); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	api.wantRequests(t, 1, 2)

	form := api.tokenRequests()[0]
	for _, part := range []string{"grant_type=client_credentials", "client_id=client-1", "client_secret=" + canarySecret, "scope=api%3A%2F%2Fapp%2F.default"} {
		if !strings.Contains(form.Body, part) {
			t.Errorf("the token request's form lacks %s", part)
		}
	}
	if got := form.Header.Get("Content-Type"); got != "application/x-www-form-urlencoded" {
		t.Errorf("token request Content-Type = %q, want application/x-www-form-urlencoded", got)
	}
	if form.Header.Get("Authorization") != "" {
		t.Error("the token request carries an Authorization header, want the secret in the form alone")
	}
}

func TestClient_RequestsHaveTheShapeOfTheAPI(t *testing.T) {
	t.Parallel()
	note := Note{Description: "Card <holder> & \"case\" 4711", UpdatedBy: "ops"}
	read := func(f func(*Client, context.Context, string) (Status, error)) func(*Client, context.Context) error {
		return func(c *Client, ctx context.Context) error { _, err := f(c, ctx, "A1b2"); return err }
	}
	for _, tc := range []struct {
		name                            string
		call                            func(*Client, context.Context) error
		method, path, body, contentType string
	}{
		{"pin status", read((*Client).PINStatus), "GET", "/api/thr/thredd/card-pin/A1b2/pin/status", "", ""},
		{"cvv status", read((*Client).CVVStatus), "GET", "/api/thr/thredd/card-cvv/A1b2/cvv/status", "", ""},
		{"pin", func(c *Client, ctx context.Context) error { _, err := c.PIN(ctx, "A1b2"); return err }, "GET", "/api/thr/thredd/card-pin/A1b2/pin", "", ""},
		{
			"unblock pin", func(c *Client, ctx context.Context) error { return c.UnblockPIN(ctx, "A1b2", Note{}) },
			"POST", "/api/thr/thredd/card-pin/A1b2/pin/unblock", `{}`, "application/json",
		},
		{
			"unblock pin with note", func(c *Client, ctx context.Context) error { return c.UnblockPIN(ctx, "A1b2", note) },
			"POST", "/api/thr/thredd/card-pin/A1b2/pin/unblock", `{"description":"Card \u003cholder\u003e \u0026 \"case\" 4711","updatedBy":"ops"}`, "application/json",
		},
		{
			"unblock cvv", func(c *Client, ctx context.Context) error { return c.UnblockCVV(ctx, "A1b2", Note{}) },
			"PUT", "/api/thr/thredd/card-cvv/A1b2/cvv/status", `{"status":"Unblocked"}`, "application/json",
		},
		{
			"unblock cvv with note", func(c *Client, ctx context.Context) error { return c.UnblockCVV(ctx, "A1b2", note) },
			"PUT", "/api/thr/thredd/card-cvv/A1b2/cvv/status", `{"status":"Unblocked","description":"Card \u003cholder\u003e \u0026 \"case\" 4711","updatedBy":"ops"}`, "application/json",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			api := newFakeAPI(t, nil)
			api.api = func(w http.ResponseWriter, r *http.Request, _ int) {
				writeJSON(w, http.StatusOK, `{"status":"Unblocked","pin":"0042"}`)
			}
			c := api.client(t, func(cfg *Config) { cfg.BaseURL += "/api/" })
			if err := tc.call(c, t.Context()); err != nil {
				t.Fatal(err)
			}
			got := api.requests()[0]
			if got.Method != tc.method || got.Path != tc.path || got.Body != tc.body {
				t.Errorf("request = %s %s %s, want %s %s %s", got.Method, got.Path, got.Body, tc.method, tc.path, tc.body)
			}
			for name, want := range map[string]string{
				"Content-Type":              tc.contentType,
				"Authorization":             "Bearer " + canaryToken + "-1",
				"Ocp-Apim-Subscription-Key": canaryKey,
				"Accept":                    "application/json",
				"User-Agent":                DefaultUserAgent,
				"Idempotency-Key":           "",
				"X-Idempotency-Key":         "",
			} {
				if v := got.Header.Get(name); v != want {
					t.Errorf("header %s = %q, want %q", name, v, want)
				}
			}
		})
	}
}

func TestClient_AnyTwoHundredAcceptsAnUnblock(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 201, 202, 204, 206} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			api := newFakeAPI(t, nil)
			api.api = func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(status) }
			if err := api.client(t).UnblockCVV(t.Context(), "1", Note{}); err != nil {
				t.Errorf("UnblockCVV on %d = %v, want nil", status, err)
			}
		})
	}
}

func TestClient_InvalidArgumentsAreNotSent(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t, nil)
	c := api.client(t)
	for _, token := range []string{"", "1234567890", "4111111111111111", "12-34", "../x", "é", "12\n", " 1", "１"} {
		err := c.UnblockPIN(t.Context(), token, Note{})
		e := wantError(t, err, ClassRejected, ReasonInvalidPublicToken)
		if e.MayHaveApplied() {
			t.Errorf("token %q: MayHaveApplied = true, want false", token)
		}
		if len(token) > 2 && strings.Contains(err.Error(), token) {
			t.Errorf("the error repeats the token: %v", err)
		}
	}
	for _, note := range []Note{
		{Description: strings.Repeat("é", MaxDescription+1)},
		{UpdatedBy: strings.Repeat("x", MaxUpdatedBy+1)},
		{Description: "\xff"},
		{UpdatedBy: "\xff"},
	} {
		wantError(t, c.UnblockCVV(t.Context(), "1", note), ClassRejected, ReasonInvalidNote)
	}
	api.wantRequests(t, 0, 0)

	longest := Note{Description: strings.Repeat("é", MaxDescription), UpdatedBy: strings.Repeat("x", MaxUpdatedBy)}
	if err := c.UnblockCVV(t.Context(), "A1b2C3d4E", longest); err != nil {
		t.Errorf("the longest token and note = %v, want accepted", err)
	}
}

func TestClient_RefusedTokenIsReplacedOnceAndTheCallRepeatedOnce(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t, nil)
	api.api = func(w http.ResponseWriter, r *http.Request, _ int) {
		if r.Header.Get("Authorization") == "Bearer "+canaryToken+"-1" {
			writeJSON(w, 401, `{"statusCode":401,"message":"Unauthorized. Access token is expired."}`)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
	c := api.client(t)
	if err := c.UnblockPIN(t.Context(), "1", Note{}); err != nil {
		t.Fatalf("UnblockPIN = %v, want nil after a new token", err)
	}
	api.wantRequests(t, 2, 2)
	if got := api.requests()[1].Body; got != "{}" {
		t.Errorf("body of the repeat = %q, want {}", got)
	}
}

func TestClient_PersistentRefusalEndsAfterOneRepeat(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t, nil)
	api.api = func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(401) }
	c := api.client(t)
	e := wantError(t, c.UnblockPIN(t.Context(), "1", Note{}), ClassUnauthorized, ReasonAccessTokenRefused)
	if e.MayHaveApplied() || e.Status != 401 {
		t.Errorf("MayHaveApplied = %v, Status = %d, want false, 401", e.MayHaveApplied(), e.Status)
	}
	api.wantRequests(t, 2, 2)
	// More calls right after do not each fetch a token.
	for range 5 {
		wantError(t, c.UnblockPIN(t.Context(), "1", Note{}), ClassUnauthorized, ReasonAccessTokenRefused)
	}
	api.wantRequests(t, 2, 7)
}

func TestClient_RefusedSubscriptionKeyBringsNoNewToken(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t, nil)
	api.api = func(w http.ResponseWriter, _ *http.Request, _ int) {
		writeJSON(w, 401, `{"statusCode":401,"message":"Access denied due to invalid subscription key. Make sure to provide a valid key."}`)
	}
	_, err := api.client(t).CVVStatus(t.Context(), "1")
	wantError(t, err, ClassUnauthorized, ReasonSubscriptionKeyRefused)
	api.wantRequests(t, 1, 1)
}

func TestClient_RepeatThatIsLostMayHaveApplied(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t, nil)
	api.api = func(w http.ResponseWriter, _ *http.Request, attempt int) {
		if attempt == 1 {
			w.WriteHeader(401)
			return
		}
		hangUp(w)
	}
	e := wantError(t, api.client(t).UnblockPIN(t.Context(), "1", Note{}), ClassUnavailable, ReasonConnectionLost)
	if !e.MayHaveApplied() {
		t.Error("MayHaveApplied = false, want true: the repeat may have been applied")
	}
	api.wantRequests(t, 2, 2)
}

func TestClient_ManyRefusedCallersShareOneNewToken(t *testing.T) {
	t.Parallel()
	const callers = 32
	api := newFakeAPI(t, nil)
	var all sync.WaitGroup
	all.Add(callers)
	api.api = func(w http.ResponseWriter, r *http.Request, _ int) {
		if r.Header.Get("Authorization") == "Bearer "+canaryToken+"-1" {
			all.Done()
			all.Wait() // every caller has sent the token that is refused
			w.WriteHeader(401)
			return
		}
		writeJSON(w, 200, `{"status":"Blocked"}`)
	}
	c := api.client(t)
	errs := make(chan error, callers)
	for range callers {
		go func() { _, err := c.PINStatus(t.Context(), "1"); errs <- err }()
	}
	for range callers {
		if err := receive(t, errs, "result"); err != nil {
			t.Error(err)
		}
	}
	api.wantRequests(t, 2, 2*callers)
}

func TestClient_RedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t, nil)
	api.api = func(w http.ResponseWriter, r *http.Request, _ int) {
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}
	c := api.client(t)
	_, err := c.PINStatus(t.Context(), "1")
	wantError(t, err, ClassBadResponse, ReasonRedirect)
	wantError(t, c.UnblockPIN(t.Context(), "1", Note{}), ClassBadResponse, ReasonRedirect)
	api.wantRequests(t, 1, 2)
}

func TestClient_ThrottlingCarriesItsWait(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t, nil)
	api.api = func(w http.ResponseWriter, _ *http.Request, attempt int) {
		w.Header().Set("Retry-After", "7")
		if attempt == 1 {
			writeJSON(w, 429, `{"statusCode":429,"message":"Rate limit is exceeded. Try again in 7 seconds."}`)
			return
		}
		writeJSON(w, 403, `{"statusCode":403,"message":"Out of call volume quota. Quota will be replenished in 00:00:07."}`)
	}
	c := api.client(t)
	for _, reason := range []Reason{ReasonThrottled, ReasonQuotaExceeded} {
		e := wantError(t, c.UnblockPIN(t.Context(), "1", Note{}), ClassThrottled, reason)
		if e.RetryAfter != 7*time.Second {
			t.Errorf("RetryAfter = %v, want 7s", e.RetryAfter)
		}
	}
}

func TestClient_TraceIDIsKeptWhenItHasTheForm(t *testing.T) {
	t.Parallel()
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
	api := newFakeAPI(t, nil)
	api.api = func(w http.ResponseWriter, _ *http.Request, _ int) {
		writeJSON(w, 400, `{"type":"x","title":"bad","status":400,"traceId":"`+trace+`","errors":{"status":["no"]}}`)
	}
	e := wantError(t, api.client(t).UnblockCVV(t.Context(), "1", Note{}), ClassRejected, ReasonBadRequest)
	if e.TraceID != trace || !strings.Contains(e.Error(), trace) {
		t.Errorf("TraceID = %q, want %q, also in the text %q", e.TraceID, trace, e.Error())
	}
}

func TestClient_ObserveSeesEachRequest(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t, nil)
	api.api = func(w http.ResponseWriter, _ *http.Request, attempt int) {
		switch attempt {
		case 1:
			w.WriteHeader(401)
		case 2:
			writeJSON(w, 200, `{"status":"Frozen"}`)
		}
	}
	var mu sync.Mutex
	var got []string
	c := api.client(t, func(cfg *Config) {
		cfg.Observe = func(call Call) {
			mu.Lock()
			defer mu.Unlock()
			if call.Duration <= 0 {
				t.Errorf("%s: Duration = %v, want more than 0", call.Name, call.Duration)
			}
			got = append(got, fmt.Sprintf("%s %d %v %s", call.Name, call.Status, call.Class, call.Reason))
		}
	})
	_, err := c.PINStatus(t.Context(), "1")
	wantError(t, err, ClassBadResponse, ReasonUnknownStatus)
	want := []string{
		"token 200 none ", "pin_status 401 unauthorized access_token_refused",
		"token 200 none ", "pin_status 200 bad_response unknown_status",
	}
	mu.Lock()
	defer mu.Unlock()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("observed (-want +got):\n%s", diff)
	}
}

func TestClient_GateIsAskedWithTokenInHandAndItsRefusalIsNotSent(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t, nil)
	errClosed := errors.New("the breaker is open")
	var asked []string
	c := api.client(t, func(cfg *Config) {
		cfg.Gate = func(_ context.Context, call CallName) error {
			asked = append(asked, fmt.Sprintf("%s after %d tokens", call, len(api.tokenRequests())))
			if len(asked) == 1 {
				return errClosed
			}
			return nil
		}
	})
	err := c.UnblockCVV(t.Context(), "1", Note{})
	e := wantError(t, err, ClassNotSent, ReasonGateRefused)
	if !errors.Is(err, errClosed) || e.MayHaveApplied() {
		t.Errorf("errors.Is(gate's) = %v, MayHaveApplied = %v, want true, false", errors.Is(err, errClosed), e.MayHaveApplied())
	}
	api.wantRequests(t, 1, 0)
	if err := c.UnblockCVV(t.Context(), "1", Note{}); err != nil {
		t.Fatalf("UnblockCVV = %v, want nil once the gate opens", err)
	}
	if diff := cmp.Diff([]string{"unblock_cvv after 1 tokens", "unblock_cvv after 1 tokens"}, asked); diff != "" {
		t.Errorf("gate (-want +got):\n%s", diff)
	}
}

func TestClient_UnusedClientMakesNoRequestAndClosesTwice(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t, nil)
	c := api.client(t)
	c.Close()
	c.Close()
	err := c.CheckToken(t.Context())
	if e := wantError(t, err, ClassUnavailable, ReasonClosed); e.Call != CallToken {
		t.Errorf("Call = %q, want %q", e.Call, CallToken)
	}
	api.wantRequests(t, 0, 0)
}

func TestClient_UsesHTTP2WhereOffered(t *testing.T) {
	t.Parallel()
	protocols := make(chan string, 1)
	api := newFakeAPI(t, startHTTP2)
	api.api = func(w http.ResponseWriter, r *http.Request, _ int) { protocols <- r.Proto; w.WriteHeader(204) }
	if err := api.client(t).UnblockPIN(t.Context(), "1", Note{}); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, protocols, "request"); got != "HTTP/2.0" {
		t.Errorf("protocol = %s, want HTTP/2.0", got)
	}
}

func TestReach_IsNoCallOfTheAPI(t *testing.T) {
	t.Parallel()
	f := newFakeAPI(t, nil)
	f.api = func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(http.StatusNotFound) }
	c := f.client(t, func(cfg *Config) {
		cfg.Gate = func(context.Context, CallName) error { return errors.New("the gate was asked") }
		cfg.Observe = func(call Call) { t.Errorf("Observe heard of %+v", call) }
	})
	if err := c.Reach(t.Context()); err != nil {
		t.Errorf("Reach = %v, want nil for any answer", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.tokens) != 0 || len(f.calls) != 1 {
		t.Fatalf("%d requests for tokens and %d others, want 0 and 1", len(f.tokens), len(f.calls))
	}
	if r := f.calls[0]; r.Method != http.MethodHead || r.Path != "/" || r.Header.Get("Authorization") != "" || r.Header.Get("Ocp-Apim-Subscription-Key") != "" {
		t.Errorf("the API saw %s %s with %v, want HEAD / without credentials", r.Method, r.Path, r.Header)
	}
}

func TestReach_WhenNobodyAnswers(t *testing.T) {
	t.Parallel()
	f := newFakeAPI(t, nil)
	c := f.client(t, func(cfg *Config) { cfg.BaseURL = "http://" + closedPort(t) })
	if e := wantError(t, c.Reach(t.Context()), ClassUnavailable, ReasonConnectRefused); e.Call != CallReach || e.MayHaveApplied() {
		t.Errorf("Reach = %+v, want the call reach, which changes nothing", e)
	}
}
