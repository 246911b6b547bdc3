package payblr

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// echo answers with everything it was told, in header and body.
func echo(status int) handler {
	return func(w http.ResponseWriter, r *http.Request, _ int) {
		everything := fmt.Sprintf("%s %s %s %s", r.URL.Path, r.Header.Get("Authorization"), canarySecret, canaryPIN)
		w.Header().Set("Location", "/"+canaryCard)
		w.Header().Set("X-Echo", everything)
		writeJSON(w, status, fmt.Sprintf(`{"pin":[%q],"status":%q,"title":%q,"traceId":%q,"message":%q,"errors":{%q:[%q]}}`,
			canaryPIN, everything, everything, canaryPIN, everything, everything, everything))
	}
}

// TestErrors_HoldNoSecret runs every call into every failure and searches what
// the errors, and all errors inside them, can be made to print.
func TestErrors_HoldNoSecret(t *testing.T) {
	t.Parallel()
	canaries := []string{canarySecret, canaryToken, canaryKey, canaryPIN, canaryCard}
	faults := map[string]func(*fakeAPI, *Config){
		"hung up":    func(f *fakeAPI, _ *Config) { f.api = func(w http.ResponseWriter, _ *http.Request, _ int) { hangUp(w) } },
		"not HTTP":   func(f *fakeAPI, _ *Config) { f.api = garbage },
		"header cut": func(f *fakeAPI, _ *Config) { f.api = cutHeader },
		"body cut":   func(f *fakeAPI, _ *Config) { f.api = cutBody },
		"refused":    func(_ *fakeAPI, c *Config) { c.BaseURL = "http://" + closedPort(t) },
		"no host":    func(_ *fakeAPI, c *Config) { c.BaseURL = "http://host-invalid" },
		"plain http": func(_ *fakeAPI, c *Config) { c.BaseURL = strings.Replace(c.BaseURL, "http:", "https:", 1) },
		"gate": func(_ *fakeAPI, c *Config) {
			c.Gate = func(context.Context, CallName) error { return errors.New("closed\nfor today") }
		},
		"token refused":    func(f *fakeAPI, _ *Config) { f.token = echo(401) },
		"token unreadable": func(f *fakeAPI, _ *Config) { f.token = echo(200) },
		"token not HTTP":   func(f *fakeAPI, _ *Config) { f.token = garbage },
		"token hung up": func(f *fakeAPI, _ *Config) {
			f.token = func(w http.ResponseWriter, _ *http.Request, _ int) { hangUp(w) }
		},
		"token endpoint refused": func(_ *fakeAPI, c *Config) { c.TokenURL = "http://" + closedPort(t) + "/" + canarySecret },
		"slow": func(f *fakeAPI, c *Config) {
			f.api, c.Timeout = hangUntilGone, 200*time.Millisecond
		},
	}
	for _, status := range []int{200, 302, 400, 401, 403, 404, 409, 415, 422, 429, 500, 503} {
		faults[fmt.Sprint("status ", status)] = func(f *fakeAPI, _ *Config) { f.api = echo(status) }
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := newFakeAPI(t, nil)
			c := api.client(t, func(cfg *Config) { fault(api, cfg) })
			_, errStatus := c.CVVStatus(t.Context(), canaryCard)
			_, errPIN := c.PIN(t.Context(), canaryCard)
			failed := 0
			for _, err := range []error{
				errStatus, errPIN, c.UnblockPIN(t.Context(), canaryCard, Note{}), c.UnblockCVV(t.Context(), canaryCard, Note{}), c.CheckToken(t.Context()),
			} {
				if err == nil {
					continue
				}
				failed++
				if text := err.Error(); !utf8.ValidString(text) || len(text) > 500 || strings.Contains(text, "\n") {
					t.Errorf("text is not one short line: %q", text)
				}
				for ; err != nil; err = errors.Unwrap(err) {
					wantHidden(t, fmt.Sprintf("%T", err), err, canaries...)
				}
			}
			if failed < 2 {
				t.Errorf("%d calls failed, want this fault to fail at least two", failed)
			}
			wantHidden(t, "client", c, canaries...)
		})
	}
}

func TestErrors_TLSFailureHoldsNoSecret(t *testing.T) {
	t.Parallel()
	api, other := newFakeAPI(t, nil), newFakeAPI(t, (*httptest.Server).StartTLS)
	c := api.client(t, func(cfg *Config) { cfg.BaseURL = other.URL })
	_, err := c.PINStatus(t.Context(), canaryCard)
	for ; err != nil; err = errors.Unwrap(err) {
		wantHidden(t, fmt.Sprintf("%T", err), err, canarySecret, canaryToken, canaryKey, canaryCard)
	}
}

func TestError_TextSaysWhatFailedAndWhatToDo(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		err  *Error
		want string
	}{
		{
			&Error{Call: CallUnblockPIN, Class: ClassUnauthorized, Reason: ReasonClientRefused, Status: 400, Code: "AADSTS7000215"},
			"payblr: unblock_pin: unauthorized (client_refused, status 400, AADSTS7000215): the token endpoint refuses the client; check client id, client secret and scope",
		},
		{
			&Error{Call: CallUnblockCVV, Class: ClassUnavailable, Reason: ReasonTimeout, Err: errCallTimeout},
			"payblr: unblock_cvv: unavailable (timeout): no complete answer in time; try later; the card may have been unblocked all the same: the call's time limit passed",
		},
		{
			&Error{Call: CallPINStatus, Class: ClassUnavailable, Reason: ReasonBadGateway, Status: 502},
			"payblr: pin_status: unavailable (bad_gateway, status 502): the API's gateway got no good answer; try later",
		},
	} {
		if got := tc.err.Error(); got != tc.want {
			t.Errorf("Error() = %q, want %q", got, tc.want)
		}
	}
}
