package payblr

import (
	"errors"
	"net/http"
	"strconv"
	"testing"
)

var pinBodies = []struct {
	body, pin string
	reason    Reason
}{
	{`{"pin":"7010"}`, "7010", ""},
	{`{"pin":"0042","resultStatus":"Success"}`, "0042", ""},
	{"\xef\xbb\xbf" + ` {"pin":"123456789012"} `, "123456789012", ""},
	{`{"pin":"7010","PIN":"7010"}`, "7010", ""},

	{`{"pin":"7010","pin":"7011"}`, "", ReasonWrongShape},
	{`{"pin":7010}`, "", ReasonWrongShape},
	{`{"pin":null}`, "", ReasonWrongShape},
	{`{"pin":"701"}`, "", ReasonWrongShape},
	{`{"pin":"1234567890123"}`, "", ReasonWrongShape},
	{`{"pin":"70 10"}`, "", ReasonWrongShape},
	{`{"pin":"７０１０"}`, "", ReasonWrongShape},
	{`{"status":"Unblocked"}`, "", ReasonWrongShape},
	{`null`, "", ReasonWrongShape},
	{`["7010"]`, "", ReasonUnreadableBody},
	{`{"pin":"7010"`, "", ReasonUnreadableBody},
	{`<html>7010</html>`, "", ReasonUnreadableBody},
	{``, "", ReasonEmptyBody},
}

func TestPIN_EveryShape(t *testing.T) {
	t.Parallel()
	for _, tc := range pinBodies {
		got, reason := decodePIN([]byte(tc.body))
		if reason != tc.reason || got.Reveal() != tc.pin {
			t.Errorf("%s: PIN = %q, reason = %q, want %q, %q", tc.body, got.Reveal(), reason, tc.pin, tc.reason)
		}
	}
}

func TestPIN_IsReadAndNotOffered(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t, nil)
	answer := body(200, "application/json", `{"pin":"0042"}`)
	api.api = func(w http.ResponseWriter, r *http.Request, attempt int) { answer(w, r, attempt) }
	c := api.client(t)
	pin, err := c.PIN(t.Context(), "1")
	if err != nil || !pin.Equal(NewPIN("0042")) {
		t.Errorf("PIN = %q, %v, want 0042", pin.Reveal(), err)
	}
	answer = body(404, "application/json", `{"statusCode":404,"message":"Resource not found"}`)
	pin, err = c.PIN(t.Context(), "1")
	wantError(t, err, ClassNotFound, ReasonNotFound)
	if !pin.IsZero() {
		t.Error("a failed read returns a PIN, want the zero value")
	}
}

// FuzzPIN: no panic, and what is taken for a PIN has the form of one.
func FuzzPIN(f *testing.F) {
	for _, tc := range pinBodies {
		f.Add([]byte(tc.body))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		pin, reason := decodePIN(raw)
		if (reason == "") == pin.IsZero() {
			t.Fatalf("reason = %q with PIN set: %v", reason, !pin.IsZero())
		}
		if reason != "" {
			return
		}
		digits := pin.Reveal()
		if len(digits) < minPINDigits || len(digits) > maxPINDigits {
			t.Errorf("PIN of %d digits", len(digits))
		}
		if _, err := strconv.ParseUint(digits, 10, 64); err != nil {
			t.Error(errors.Unwrap(err))
		}
	})
}
