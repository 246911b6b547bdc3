package sandbox_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cardworker/cardworker/internal/sandbox"
)

const (
	blockedCard = "103169946"
	pinUnblock  = "/thr/thredd/card-pin/" + blockedCard + "/pin/unblock"
	cvvStatus   = "/thr/thredd/card-cvv/" + blockedCard + "/cvv/status"
)

func TestUnblock_FlowOfBothKinds(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	for _, kind := range []struct{ read, unblock sandbox.Call }{
		{sandbox.CallPINStatus, sandbox.CallUnblockPIN}, {sandbox.CallCVVStatus, sandbox.CallUnblockCVV},
	} {
		read := func() map[string]any { return b.wantStatus(kind.read, blockedCard, 200).object(t) }
		if diff := cmp.Diff(map[string]any{"status": "Blocked", "remainingTries": "0"}, read()); diff != "" {
			t.Errorf("%s before (-want +got):\n%s", kind.read, diff)
		}
		r := b.wantStatus(kind.unblock, blockedCard, 204)
		if len(r.body) != 0 {
			t.Errorf("%s: body %q, want none", kind.unblock, r.body)
		}
		if diff := cmp.Diff(map[string]any{"status": "Unblocked", "remainingTries": "3"}, read()); diff != "" {
			t.Errorf("%s after (-want +got):\n%s", kind.read, diff)
		}
	}
}

func TestUnblock_PINDoesNotTouchTheCVV(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	b.wantStatus(sandbox.CallUnblockPIN, blockedCard, 204)
	b.wantSaid(sandbox.CallCVVStatus, blockedCard, "Blocked")
}

func TestUnblock_OnAnUnblockedCardFillsTheCounter(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{MaxTries: 5})
	if err := b.box.SetCard(sandbox.Card{PublicToken: "A1", PIN: sandbox.Credential{RemainingTries: 1}}); err != nil {
		t.Fatal(err)
	}
	b.wantStatus(sandbox.CallUnblockPIN, "A1", 204)
	if c, _ := b.box.Card("A1"); c.PIN.RemainingTries != 5 {
		t.Errorf("remaining tries %d, want 5", c.PIN.RemainingTries)
	}
	if e := b.last(); e.AppliedAt == nil || *e.BlockedBefore || *e.BlockedAfter {
		t.Errorf("ledger %+v, want applied, false before and after", e)
	}
}

func TestPut_BlockedReallyBlocks(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	const card = "200000001"
	r := b.must(b.send("PUT", "/thr/thredd/card-cvv/"+card+"/cvv/status", `{"status":"Blocked"}`))
	if r.status != 204 {
		t.Fatalf("status %d, want 204", r.status)
	}
	b.wantSaid(sandbox.CallCVVStatus, card, "Blocked")
	if e := b.box.Ledger()[0]; !*e.BlockedAfter || *e.BlockedBefore {
		t.Errorf("ledger: before %v after %v, want false, true", *e.BlockedBefore, *e.BlockedAfter)
	}
}

func TestUnblock_BodiesAreValidated(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	long := func(n int) string { return strings.Repeat("é", n) }
	tests := []struct {
		name, method, path, body string
		status                   int
		field                    string
	}{
		{"PUT without status", "PUT", cvvStatus, `{}`, 400, "status"},
		{"PUT with null", "PUT", cvvStatus, `null`, 400, "status"},
		{"PUT with an unknown status", "PUT", cvvStatus, `{"status":"unblocked"}`, 400, "status"},
		{"PUT with a number", "PUT", cvvStatus, `{"status":1}`, 400, "$"},
		{"PUT with half a body", "PUT", cvvStatus, `{"status":`, 400, "$"},
		{"PUT with a long description", "PUT", cvvStatus, `{"status":"Unblocked","description":"` + long(801) + `"}`, 400, "description"},
		{"PUT with a long updatedBy", "PUT", cvvStatus, `{"status":"Unblocked","updatedBy":"` + long(101) + `"}`, 400, "updatedBy"},
		{"POST with a long description", "POST", pinUnblock, `{"description":"` + long(801) + `"}`, 400, "description"},
		{"POST with an array", "POST", pinUnblock, `[]`, 400, "$"},
		{"POST at the bounds", "POST", pinUnblock, `{"description":"` + long(800) + `","updatedBy":"` + long(100) + `"}`, 204, ""},
		{"PUT with more members", "PUT", cvvStatus, `{"status":"Unblocked","x":1}`, 204, ""},
		{"POST too large", "POST", pinUnblock, `{"x":"` + strings.Repeat("x", 70_000) + `"}`, 413, ""},
	}
	for _, test := range tests {
		r := b.must(b.send(test.method, test.path, test.body))
		if r.status != test.status {
			t.Errorf("%s: status %d, want %d; body %s", test.name, r.status, test.status, r.body)
			continue
		}
		if applied := b.last().AppliedAt != nil; applied != (test.status == 204) {
			t.Errorf("%s: applied %v in the ledger", test.name, applied)
		}
		if test.field == "" {
			continue
		}
		got := r.object(t)
		fields, _ := got["errors"].(map[string]any)
		if texts, _ := fields[test.field].([]any); len(texts) == 0 {
			t.Errorf("%s: errors %v, want an array at %q", test.name, fields, test.field)
		}
		if kind := r.header.Get("Content-Type"); !strings.HasPrefix(kind, "application/problem+json") {
			t.Errorf("%s: content type %q, want problem+json", test.name, kind)
		}
		if got["status"] != 400.0 || got["title"] == "" || got["type"] == "" || got["traceId"] == "" {
			t.Errorf("%s: body %v, want type, title, status 400 and traceId", test.name, got)
		}
	}
}

func TestUnblock_NeedsAJSONContentType(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	for kind, want := range map[string]int{
		"": 415, "text/plain": 415, "application/x-www-form-urlencoded": 415,
		"application/json": 204, "application/json; charset=utf-8": 204,
	} {
		r := b.must(b.send("POST", pinUnblock, "{}", "Content-Type", kind))
		if r.status != want {
			t.Errorf("content type %q: status %d, want %d", kind, r.status, want)
		}
		if e := b.last(); e.ContentType != kind || (e.AppliedAt != nil) != (want == 204) {
			t.Errorf("content type %q: ledger has %q, applied %v", kind, e.ContentType, e.AppliedAt)
		}
	}
}

func TestRoute_WrongMethodIs405AndUnknownPathIs404(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	for path, allow := range map[string]string{
		cvvStatus:                                "GET, PUT",
		pinUnblock:                               "POST",
		"/thr/thredd/card-pin/1/pin/status":      "GET",
		"/thr/thredd/card-pin/1/pin":             "GET",
		"/some-tenant.example/oauth2/v2.0/token": "POST",
	} {
		r := b.must(b.send("DELETE", path, ""))
		if r.status != 405 || r.header.Get("Allow") != allow {
			t.Errorf("DELETE %s: status %d Allow %q, want 405 %q", path, r.status, r.header.Get("Allow"), allow)
		}
	}
	for _, path := range []string{
		"/", "/thr/thredd/card-pin/", "/thr/thredd/card-pin//pin", "/thr/thredd/card-pin/1/pin/", "/thr/thredd/card-pin/1/pin/statuses",
		"/thr/thredd/card-cvv/1/cvv", "/thr/thredd/cards/1/status",
	} {
		r := b.must(b.send("GET", path, ""))
		want := map[string]any{"statusCode": 404.0, "message": "Resource not found"}
		if diff := cmp.Diff(want, r.object(t)); r.status != 404 || diff != "" {
			t.Errorf("GET %s: status %d, body (-want +got):\n%s", path, r.status, diff)
		}
		if e := b.last(); e.Call != sandbox.CallOther || e.Request != "GET "+path {
			t.Errorf("GET %s: ledger has %s %q", path, e.Call, e.Request)
		}
	}
}

func TestUnknownCard_IsAProblem404ForEveryCall(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	for _, token := range []string{"404000001", "999999999", "000000000", "1", "ABC", "x.y", "1234567890"} {
		for _, kind := range cardCalls {
			r := b.wantStatus(kind, token, 404)
			if r.object(t)["status"] != 404.0 {
				t.Errorf("%s on %s: body %s, want a problem", kind, token, r.body)
			}
		}
	}
}

func TestLedger_MasksWhatIsNoPublicToken(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{})
	b.wantStatus(sandbox.CallPINStatus, "5555444433332222", 404)
	if e := b.last(); e.PublicToken != "******222" {
		t.Errorf("ledger has card %q, want ******222", e.PublicToken)
	}
}

func TestProfiles_DifferInPINReadAndRepeatedUnblock(t *testing.T) {
	t.Parallel()
	tests := []struct {
		profile      sandbox.Profile
		pin, unblock int // unblock of a card that is not blocked
	}{
		{"", 200, 204},
		{sandbox.ProfileDev, 200, 204},
		{sandbox.ProfileUAT, 404, 204},
		{sandbox.ProfileForbidden, 403, 204},
		{sandbox.ProfileStrict, 200, 409},
	}
	for _, test := range tests {
		b := start(t, sandbox.Config{Profile: test.profile})
		b.wantStatus(sandbox.CallPIN, "200000001", test.pin)
		b.wantStatus(sandbox.CallUnblockPIN, "200000001", test.unblock)
		b.wantStatus(sandbox.CallUnblockCVV, "200000001", test.unblock)
		b.wantStatus(sandbox.CallUnblockPIN, blockedCard, http.StatusNoContent)
	}
}
