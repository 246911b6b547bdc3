package payblr

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// statusBodies are the shapes that the API's pages show or imply, and what
// gateways put in their place. Those with a nil status are refused.
var statusBodies = []struct {
	body   string
	status *Status
	reason Reason
}{
	{`{ "status": "Unblocked", "remainingTries": "3" }`, &Status{Value: "Unblocked", RemainingTries: new(3)}, ""},
	{
		`{"status":"Blocked","remainingTries":"0","remainingOfflineTries":"0"}`,
		&Status{Value: "Blocked", Blocked: true, RemainingTries: new(0), RemainingOfflineTries: new(0)}, "",
	},
	{`{"status":"Unblocked"}`, &Status{Value: "Unblocked"}, ""},
	{`{"status":"Blocked","remainingTries":0}`, &Status{Value: "Blocked", Blocked: true, RemainingTries: new(0)}, ""},
	{`{"status":"Unblocked","remainingTries":2,"remainingOfflineTries":null}`, &Status{Value: "Unblocked", RemainingTries: new(2)}, ""},
	{`{"status":"Unblocked","remainingTries":3.0}`, &Status{Value: "Unblocked", RemainingTries: new(3)}, ""},
	{`{"status":"Unblocked","remainingTries":" 3 "}`, &Status{Value: "Unblocked", RemainingTries: new(3)}, ""},
	{`{"status":" unBLOCKED\n","remainingTries":""}`, &Status{Value: "Unblocked"}, ""},
	{`{"status":"blocked"}`, &Status{Value: "Blocked", Blocked: true}, ""},
	{`{"STATUS":"Unblocked"}`, &Status{Value: "Unblocked"}, ""},
	{"\xef\xbb\xbf" + `{"status":"Unblocked"}` + "\r\n", &Status{Value: "Unblocked"}, ""},
	{`{"status":"Unblocked","status":"unblocked"}`, &Status{Value: "Unblocked"}, ""},
	{`{"status":"Unblocked","resultStatus":"Success","x":{"status":"Blocked"}}`, &Status{Value: "Unblocked"}, ""},
	{`{"status":"Unblocked","statusCode":"00","statusDescription":"All Good"}`, &Status{Value: "Unblocked", Code: new("00"), Description: new("All Good")}, ""},
	{
		`{"status":"Blocked","statusCode":75,"code":1,"description":"PIN tries\texceeded"}`,
		&Status{Value: "Blocked", Blocked: true, Code: new("75"), Description: new("PIN tries exceeded")}, "",
	},
	{`{"status":"Blocked","statusCode":null,"description":["x"]}`, &Status{Value: "Blocked", Blocked: true}, ""},

	{`{"status":"Unblocked","remainingTries":-1}`, &Status{Value: "Unblocked"}, ""},
	{`{"status":"Unblocked","remainingTries":2.5}`, &Status{Value: "Unblocked"}, ""},
	{`{"status":"Unblocked","remainingTries":1e300}`, &Status{Value: "Unblocked"}, ""},
	{`{"status":"Unblocked","remainingTries":"many"}`, &Status{Value: "Unblocked"}, ""},
	{`{"status":"Unblocked","remainingTries":"NaN","remainingOfflineTries":true}`, &Status{Value: "Unblocked"}, ""},
	{`{"status":"Unblocked","remainingTries":{},"remainingOfflineTries":[]}`, &Status{Value: "Unblocked"}, ""},

	{`{"status":"Frozen"}`, nil, ReasonUnknownStatus},
	{`{"status":""}`, nil, ReasonUnknownStatus},
	{`{"status":"Not Unblocked"}`, nil, ReasonUnknownStatus},
	{`{"status":"Unblocked","status":"Blocked"}`, nil, ReasonWrongShape},
	{`{"status":"Blocked","Status":"Unblocked"}`, nil, ReasonWrongShape},
	{`{"status":"Unblocked","status":null}`, nil, ReasonWrongShape},
	{`{"status":null}`, nil, ReasonWrongShape},
	{`{"status":true}`, nil, ReasonWrongShape},
	{`{"status":200,"title":"OK"}`, nil, ReasonWrongShape},
	{`{}`, nil, ReasonWrongShape},
	{`{"pin":"7010"}`, nil, ReasonWrongShape},
	{`{"statusCode":500,"message":"Internal server error","activityId":"x"}`, nil, ReasonWrongShape},
	{``, nil, ReasonEmptyBody},
	{" \r\n", nil, ReasonEmptyBody},
	{"\xef\xbb\xbf", nil, ReasonEmptyBody},
	{`null`, nil, ReasonUnreadableBody},
	{`"Unblocked"`, nil, ReasonUnreadableBody},
	{`[{"status":"Unblocked"}]`, nil, ReasonUnreadableBody},
	{`{"status":"Unblocked"`, nil, ReasonUnreadableBody},
	{`{"status":"Unblocked"} trailing`, nil, ReasonUnreadableBody},
	{`<html>Unblocked</html>`, nil, ReasonUnreadableBody},
}

func TestStatus_EveryShape(t *testing.T) {
	t.Parallel()
	for _, tc := range statusBodies {
		got, reason := decodeStatus([]byte(tc.body), "103169946")
		if reason != tc.reason {
			t.Errorf("%s: reason = %q, want %q", tc.body, reason, tc.reason)
		}
		want := Status{}
		if tc.status != nil {
			want = *tc.status
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.body, diff)
		}
	}
}

func TestStatus_DescriptionIsMadeSafe(t *testing.T) {
	t.Parallel()
	const card = "Ab3dE6gH9"
	for in, want := range map[string]string{
		"card 4111111111111111 is blocked":       "card **************** is blocked",
		"card 4111 1111 1111 1111":               "card **** **** **** ****",
		"card 4111-1111-1111-1111.":              "card ****-****-****-****.",
		"token " + card + ", case 47110":         "token *********, case 47110",
		"３６９３６９３６９":                              "*********",
		"two\nlines\x00\u202e":                   "two lines",
		"  padded ":                              "padded",
		strings.Repeat("é", 300):                 strings.Repeat("é", 200),
		strings.Repeat("x", 197) + "12345678":    strings.Repeat("x", 197) + "***",
		"bad \xff byte":                          "bad \uFFFD byte",
		"12345":                                  "12345",
		strings.Repeat("ab ", 5) + "1 2 3 4 5 6": strings.Repeat("ab ", 5) + "* * * * * *",
	} {
		if got := sanitize(in, card); got != want {
			t.Errorf("sanitize(%q) = %q, want %q", in, got, want)
		}
	}
	if got := sanitize("a cat", "a"); got != "a cat" {
		t.Errorf("a one-letter token masks %q, want nothing masked", got)
	}
}

// FuzzStatus: whatever arrives, no panic, and "not blocked" only where a plain
// reading of the JSON finds unblocked and nothing else.
func FuzzStatus(f *testing.F) {
	for _, tc := range statusBodies {
		f.Add([]byte(tc.body))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		const card = "Ab3dE6gH9"
		status, reason := decodeStatus(raw, card)
		if reason != "" {
			if reason.Class() != ClassBadResponse {
				t.Errorf("reason = %q, want one of a bad response", reason)
			}
			return
		}
		var plain map[string]any
		if err := json.Unmarshal([]byte(strings.TrimPrefix(string(raw), "\xef\xbb\xbf")), &plain); err != nil {
			t.Fatalf("read a status from what is no JSON object: %v", err)
		}
		found := false
		for key, value := range plain {
			if !strings.EqualFold(key, "status") {
				continue
			}
			s, ok := value.(string)
			if !ok || !strings.EqualFold(strings.TrimSpace(s), status.Value) {
				t.Errorf("status = %q from %v", status.Value, value)
			}
			found = true
		}
		if !found || status.Blocked != (status.Value == "Blocked") {
			t.Errorf("status = %+v, found in the body: %v", status, found)
		}
		for _, n := range []*int{status.RemainingTries, status.RemainingOfflineTries} {
			if n != nil && (*n < 0 || *n > maxTries) {
				t.Errorf("tries = %d, want 0 to %d", *n, maxTries)
			}
		}
		for _, s := range []*string{status.Code, status.Description} {
			if s != nil && (!utf8.ValidString(*s) || utf8.RuneCountInString(*s) > maxRemark || digitRun.MatchString(*s) || strings.Contains(*s, card)) {
				t.Errorf("unsafe text %q", *s)
			}
		}
	})
}
