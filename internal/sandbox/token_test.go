package sandbox_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cardworker/cardworker/internal/sandbox"
)

func TestToken_HasTheShapeOfEntra(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	r := b.postForm(credentials(sandbox.Config{}))
	got := r.object(t)
	token, _ := got["access_token"].(string)
	delete(got, "access_token")
	want := map[string]any{"token_type": "Bearer", "expires_in": 3600.0, "ext_expires_in": 3600.0}
	if diff := cmp.Diff(want, got); r.status != http.StatusOK || diff != "" {
		t.Errorf("status %d, body without token (-want +got):\n%s", r.status, diff)
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("access token has %d parts, want 3", len(parts))
	}
	for i, part := range parts {
		if _, err := base64.RawURLEncoding.DecodeString(part); err != nil {
			t.Errorf("part %d of the access token: %v, want base64url", i, err)
		}
	}
	if e := b.last(); e.Call != sandbox.CallToken || e.Status != http.StatusOK || e.PublicToken != "" {
		t.Errorf("ledger: call %s status %d card %q, want token 200 without a card", e.Call, e.Status, e.PublicToken)
	}
}

func TestToken_IsServedBelowATenant(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	r := b.must(b.send("POST", "/uat-api-auth.example/oauth2/v2.0/token", credentials(sandbox.Config{}).Encode(),
		"Content-Type", "application/x-www-form-urlencoded"))
	if r.status != http.StatusOK {
		t.Errorf("status %d, want 200", r.status)
	}
}

func TestToken_ErrorsAreThoseOfEntra(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	tests := []struct {
		name, field, value string
		status             int
		code               string
		aadsts             float64
	}{
		{"wrong secret", "client_secret", "canary-wrong", 401, "invalid_client", 7000215},
		{"no secret in the body", "client_secret", "", 401, "invalid_client", 7000218},
		{"unknown client", "client_id", "canary-wrong", 400, "unauthorized_client", 700016},
		{"no client", "client_id", "", 400, "invalid_request", 900144},
		{"wrong grant", "grant_type", "password", 400, "unsupported_grant_type", 70003},
		{"no grant", "grant_type", "", 400, "invalid_request", 900144},
		{"wrong scope", "scope", "canary-wrong", 400, "invalid_scope", 70011},
		{"no scope", "scope", "", 400, "invalid_request", 900144},
	}
	for _, test := range tests {
		form := credentials(sandbox.Config{})
		form.Set(test.field, test.value)
		r := b.postForm(form)
		got := r.object(t)
		if r.status != test.status || got["error"] != test.code {
			t.Errorf("%s: status %d error %v, want %d %s", test.name, r.status, got["error"], test.status, test.code)
		}
		if diff := cmp.Diff([]any{test.aadsts}, got["error_codes"]); diff != "" {
			t.Errorf("%s: error_codes (-want +got):\n%s", test.name, diff)
		}
		if text, _ := got["error_description"].(string); !strings.HasPrefix(text, "AADSTS") {
			t.Errorf("%s: error_description %q, want AADSTS first", test.name, text)
		}
		containsNone(t, test.name, string(r.body), "canary-wrong", sandbox.DefaultClientSecret)
	}
}

func TestToken_JSONBodyIsNotAForm(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	r := b.must(b.send("POST", "/oauth2/v2.0/token", `{"grant_type":"client_credentials"}`))
	if r.status != 400 || r.object(t)["error"] != "invalid_request" {
		t.Errorf("status %d body %s, want 400 invalid_request", r.status, r.body)
	}
}

func TestBearer_MissingUnknownExpiredAndRevokedAre401(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	b := start(t, sandbox.Config{TokenTTL: 10 * time.Second, Now: func() time.Time {
		return time.Unix(1_700_000_000, 0).Add(time.Duration(ahead.Load()))
	}})
	const path = "/thr/thredd/card-pin/103169946/pin/status"
	refused := func(name, authorization string) {
		t.Helper()
		r := b.must(b.send("GET", path, "", "Authorization", authorization))
		want := map[string]any{"statusCode": 401.0, "message": "Unauthorized. Access token is missing or invalid."}
		if diff := cmp.Diff(want, r.object(t)); r.status != 401 || diff != "" {
			t.Errorf("%s: status %d, body (-want +got):\n%s", name, r.status, diff)
		}
	}
	refused("missing", "")
	refused("unknown", "Bearer nonsense")
	refused("not a bearer", "Basic "+b.bearer)

	ahead.Store(int64(10*time.Second - 1))
	b.wantStatus(sandbox.CallPINStatus, "103169946", 200)
	ahead.Store(int64(10 * time.Second))
	refused("expired", "Bearer "+b.bearer)

	b.bearer = b.newToken(sandbox.Config{})
	b.wantStatus(sandbox.CallPINStatus, "103169946", 200)
	if n := b.box.RevokeTokens(); n < 1 {
		t.Errorf("RevokeTokens() = %d, want at least 1", n)
	}
	refused("revoked", "Bearer "+b.bearer)
}

func TestBearer_RefusedCallChangesNothingAndTakesNoFault(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	b.addFault(sandbox.Fault{Do: sandbox.DoReset, Count: 1})
	r := b.must(b.send("POST", "/thr/thredd/card-pin/103169946/pin/unblock", "{}", "Authorization", ""))
	if r.status != 401 {
		t.Fatalf("status %d, want 401", r.status)
	}
	if e := b.last(); e.AppliedAt != nil || e.Fault != "" {
		t.Errorf("ledger: applied %v fault %q, want neither", e.AppliedAt, e.Fault)
	}
	if n := len(b.box.Faults()); n != 1 {
		t.Errorf("%d faults left, want 1", n)
	}
}

func TestSubscriptionKey_IsAskedForWhenConfigured(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{SubscriptionKey: "canary-key"})
	const path = "/thr/thredd/card-pin/103169946/pin/status"
	for key, want := range map[string]int{"": 401, "wrong": 401, "canary-key": 200} {
		r := b.must(b.send("GET", path, "", "Ocp-Apim-Subscription-Key", key))
		if r.status != want {
			t.Errorf("key %q: status %d, want %d", key, r.status, want)
		}
		containsNone(t, "answer", string(r.body), "canary-key")
	}
}
