package payblr

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestExchange_Failures(t *testing.T) {
	t.Parallel()
	entra := func(code, aadsts string) string {
		return fmt.Sprintf(`{"error":%q,"error_description":"%s: Provided %s. Trace ID: x","error_codes":[1],"trace_id":"y"}`, code, aadsts, canaryPIN)
	}
	for _, tc := range []struct {
		name   string
		token  handler
		class  Class
		reason Reason
		code   string
		status int
	}{
		{"wrong secret, 401", body(401, "application/json", entra("invalid_client", "AADSTS7000215")), ClassUnauthorized, ReasonClientRefused, "AADSTS7000215", 401},
		{"wrong secret, 400", body(400, "application/json; charset=utf-8", entra("invalid_client", "AADSTS7000215")), ClassUnauthorized, ReasonClientRefused, "AADSTS7000215", 400},
		{"refusal with 200", body(200, "application/json", entra("unauthorized_client", "AADSTS700016")), ClassUnauthorized, ReasonClientRefused, "AADSTS700016", 200},
		{"refusal with 500", body(500, "application/json", entra("invalid_scope", "AADSTS70011")), ClassUnauthorized, ReasonClientRefused, "AADSTS70011", 500},
		{"refusal of a new kind", body(400, "application/json", entra("whatever_else", "x")), ClassUnauthorized, ReasonClientRefused, "", 400},
		{"temporary", body(400, "application/json", entra("temporarily_unavailable", "AADSTS90033")), ClassUnavailable, ReasonTokenUnavailable, "AADSTS90033", 400},
		{"401 without words", body(401, "text/plain", ""), ClassUnauthorized, ReasonClientRefused, "", 401},
		{"throttled", body(429, "application/json", `{}`), ClassThrottled, ReasonTokenThrottled, "", 429},
		{"down", body(503, "text/html", "<html>"), ClassUnavailable, ReasonTokenUnavailable, "", 503},
		{"not found", body(404, "text/html", "<html>"), ClassUnavailable, ReasonTokenUnreadable, "", 404},
		{"redirect", func(w http.ResponseWriter, r *http.Request, _ int) { http.Redirect(w, r, "/login", 302) }, ClassUnavailable, ReasonTokenUnreadable, "", 302},
		{"HTML", body(200, "text/html", "<html>welcome</html>"), ClassUnavailable, ReasonTokenUnreadable, "", 200},
		{"empty", body(200, "application/json", ""), ClassUnavailable, ReasonTokenUnreadable, "", 200},
		{"no token", body(200, "application/json", `{"expires_in":3600}`), ClassUnavailable, ReasonTokenUnreadable, "", 200},
		{"number as token", body(200, "application/json", `{"access_token":7}`), ClassUnavailable, ReasonTokenUnreadable, "", 200},
		{"line break in token", body(200, "application/json", `{"access_token":"a\nb"}`), ClassUnavailable, ReasonTokenUnreadable, "", 200},
		{"another token type", body(200, "application/json", `{"access_token":"a","token_type":"mac"}`), ClassUnavailable, ReasonTokenUnreadable, "", 200},
		{"huge", body(200, "application/json", `{"access_token":"`+strings.Repeat("a", 1<<20)+`"}`), ClassUnavailable, ReasonTokenUnreadable, "", 200},
		{"hung up", func(w http.ResponseWriter, _ *http.Request, _ int) { hangUp(w) }, ClassUnavailable, ReasonTokenUnavailable, "", 0},
		{"cut short", cutBody, ClassUnavailable, ReasonTokenUnavailable, "", 200},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			api := newFakeAPI(t, nil)
			api.token = tc.token
			c := api.client(t)
			e := wantError(t, c.UnblockPIN(t.Context(), "1", Note{}), tc.class, tc.reason)
			if e.Code != tc.code || e.Status != tc.status || e.Call != CallUnblockPIN || e.MayHaveApplied() {
				t.Errorf("Code = %q, Status = %d, Call = %s, MayHaveApplied = %v, want %q, %d, unblock_pin, false",
					e.Code, e.Status, e.Call, e.MayHaveApplied(), tc.code, tc.status)
			}
			if e := wantError(t, c.CheckToken(t.Context()), tc.class, tc.reason); e.Call != CallToken {
				t.Errorf("CheckToken: Call = %s, want token", e.Call)
			}
			api.wantRequests(t, 1, 0) // the failure answers for the second
		})
	}
}

func TestExchange_UnreachableEndpointIsUnavailable(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t, nil)
	c := api.client(t, func(cfg *Config) { cfg.TokenURL = "http://" + closedPort(t) + "/token" })
	e := wantError(t, c.UnblockPIN(t.Context(), "1", Note{}), ClassUnavailable, ReasonTokenUnavailable)
	if e.MayHaveApplied() || !strings.Contains(e.Error(), "refused") || !strings.Contains(e.Error(), "check the token URL and the network") {
		t.Errorf("MayHaveApplied = %v, want false; %v, want the cause in it and what to do", e.MayHaveApplied(), e)
	}
}

func TestExchange_SlowEndpointIsUnavailable(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t, nil)
	api.token = hangUntilGone
	c := api.client(t, timeout(600*time.Millisecond))
	wantError(t, c.UnblockPIN(t.Context(), "1", Note{}), ClassUnavailable, ReasonTokenUnavailable)
	api.wantRequests(t, 1, 0)
}

func TestExchange_ToleratesWhatEndpointsSend(t *testing.T) {
	t.Parallel()
	for name, reply := range map[string]handler{
		"lifetime as string":      body(200, "application/json", `{"access_token":"a","expires_in":"3600"}`),
		"lifetime as fraction":    body(200, "application/json", `{"access_token":"a","expires_in":3599.5}`),
		"lifetime beyond numbers": body(200, "application/json", `{"access_token":"a","expires_in":1e300}`),
		"lifetime negative":       body(200, "application/json", `{"access_token":"a","expires_in":-3000000000}`),
		"lifetime zero":           body(200, "application/json", `{"access_token":"a","expires_in":0}`),
		"lifetime nonsense":       body(200, "application/json", `{"access_token":"a","expires_in":[1]}`),
		"lifetime missing":        body(200, "application/json", `{"access_token":"a"}`),
		"JSON as text":            body(200, "text/plain", `{"access_token":"a","token_type":"bearer"}`),
		"byte order mark":         body(200, "application/json", "\xef\xbb\xbf"+`{"access_token":"a"}`),
		"more fields":             body(200, "application/json", `{"access_token":"a","ext_expires_in":3600,"x":{"y":[]}}`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := newFakeAPI(t, nil)
			api.token = reply
			c := api.client(t)
			for range 3 {
				if err := c.UnblockPIN(t.Context(), "1", Note{}); err != nil {
					t.Fatal(err)
				}
			}
			api.wantRequests(t, 1, 3)
		})
	}
}

func TestLifetime_ReadsSecondsInAnyForm(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in   any
		want time.Duration
	}{
		{3600.0, time.Hour},
		{"3600", time.Hour},
		{" 60 ", time.Minute},
		{0.5, 500 * time.Millisecond},
		{0.0, 0},
		{-1.0, 0},
		{"", 0},
		{"soon", 0},
		{"NaN", 0},
		{"Inf", maxLifetime},
		{1e300, maxLifetime},
		{nil, 0},
		{true, 0},
	} {
		if got := lifetime(tc.in); got != tc.want {
			t.Errorf("lifetime(%v) = %v, want %v", tc.in, got, tc.want)
		}
	}
}

// FuzzTokenReply: no body of a token endpoint makes the reader panic or hand on
// something longer than its parts.
func FuzzTokenReply(f *testing.F) {
	for _, s := range []string{
		`{"token_type":"Bearer","expires_in":3600,"access_token":"eyJ.x.y"}`,
		`{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided.","error_codes":[7000215]}`,
		`{"error":7}`, `null`, `[]`, "", "<html>", "\xef\xbb\xbf{}", `{"expires_in":-1e400}`,
	} {
		f.Add([]byte(s), 200)
		f.Add([]byte(s), 400)
	}
	f.Fuzz(func(t *testing.T, raw []byte, status int) {
		r := &tokenReply{status: status}
		r.read(raw)
		if reason := r.reason(); reason != "" && reasons[reason].class == ClassNone {
			t.Errorf("reason %q is outside the table", reason)
		}
		if r.code != "" && !entraCode.MatchString(r.code) || r.lifetime < 0 || r.lifetime > maxLifetime {
			t.Errorf("code = %q, lifetime = %v", r.code, r.lifetime)
		}
	})
}
