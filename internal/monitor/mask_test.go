package monitor

import (
	"regexp"
	"strings"
	"testing"
)

const (
	operationID = "cw05-01KAJ4S7Q0Z5M2E8H6N3T9RXVB"
	digitsID    = "cw15-01234567890123456789012345" // an id whose digits look like a card number
)

func TestMaskPayload_ShowsOnlyWhatIsAllowed(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ in, want string }{
		"by reference":            {`{"version":1,"operation_id":"` + operationID + `","seq":1}`, `{"operation_id":"` + operationID + `","seq":1,"version":1}`},
		"self-contained":          {`{"version":1,"public_token":"103169946"}`, `{"public_token":"******946","version":1}`},
		"token as a number":       {`{"public_token":103169946}`, `{"public_token":"******946"}`},
		"short token":             {`{"public_token":"946"}`, `{"public_token":"***"}`},
		"card number for a token": {`{"public_token":"4111111111111111"}`, `{"public_token":"[hidden]"}`},
		"object for a token":      {`{"public_token":{"103169946":1}}`, `{"public_token":"[hidden]"}`},
		"free text": {
			`{"reason":"card 103169946","updated_by":"anna","idempotency_key":"k-103169946"}`,
			`{"idempotency_key":"[hidden]","reason":"[hidden]","updated_by":"[hidden]"}`,
		},
		"unknown names":       {`{"103169946":1,"pan":"4111111111111111"}`, `{"(unknown)":"[hidden]"}`},
		"token in a number":   {`{"version":103169946,"seq":103169946}`, `{"seq":"[hidden]","version":"[hidden]"}`},
		"token in an id":      {`{"operation_id":"103169946"}`, `{"operation_id":"[hidden]"}`},
		"time":                {`{"expires_at":"2026-11-22T11:00:00+01:00"}`, `{"expires_at":"2026-11-22T10:00:00Z"}`},
		"token in a time":     {`{"expires_at":"2026-11-22T10:00:00.103169946Z"}`, `{"expires_at":"2026-11-22T10:00:00Z"}`},
		"no time":             {`{"expires_at":"103169946"}`, `{"expires_at":"[hidden]"}`},
		"no JSON":             {`103169946 please`, `[hidden, 16 bytes]`},
		"JSON, but no object": {`["103169946"]`, `[hidden, 13 bytes]`},
		"null":                {`null`, `[hidden, 4 bytes]`},
		"two objects":         {`{} {"a":1}`, `[hidden, 10 bytes]`},
		"nothing":             {``, ``},
		"too long":            {`{"a":"` + strings.Repeat("x", 20_000) + `"}`, `[hidden, 20008 bytes]`},
	} {
		got, _ := maskPayload([]byte(tc.in))
		if got != tc.want {
			t.Errorf("%s: maskPayload(%.80s) = %s, want %s", name, tc.in, got, tc.want)
		}
		if again, _ := maskPayload([]byte(got)); again != got {
			t.Errorf("%s: masked again = %s, want %s unchanged", name, again, got)
		}
	}
}

func TestMaskPayload_TellsTheTokenItMet(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{"public_token":"qwertzuio"}`:        "qwertzuio",
		`{"public_token":103169946}`:          "103169946",
		`{"public_token":"******946"}`:        "",
		`{"public_token":"4111111111111111"}`: "",
		`{"reason":"103169946"}`:              "",
	} {
		if _, got := maskPayload([]byte(in)); got != want {
			t.Errorf("maskPayload(%s) met %q, want %q", in, got, want)
		}
	}
}

func TestMaskText_HidesTokensAndCardNumbersAndNothingElse(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`card 103169946 is unknown`:     `card ******946 is unknown`,
		`card103169946x`:                `card******946x`,
		`pan 4111 1111 1111 1111 in it`: `pan [hidden] in it`,
		`pan 4111-1111-1111-1111.`:      `pan [hidden].`,
		`pan 4111111111111111`:          `pan [hidden]`,
		`Get "https://gateway.example/thr/thredd/card-pin/aB1/pin/status": EOF`:    `Get "https://gateway.example/thr/thredd/card-pin/***/pin/status": EOF`,
		`Put "https://gateway.example/thr/thredd/card-cvv/abcdef/cvv/status": EOF`: `Put "https://gateway.example/thr/thredd/card-cvv/***def/cvv/status": EOF`,
		`{"public_token":"abcdef"}`:                              `{"public_token":"***def"}`,
		`"{\"public_token\": \"abcdef\"}"`:                       `"{\"public_token\": \"***def\"}"`,
		`publicToken=abcdef`:                                     `publicToken=***def`,
		`public_token: invalid public token: it has 10`:          `public_token: invalid public token: it has 10`,
		`the word qwertz stands alone, qwertzy does not`:         `the word ***rtz stands alone, qwertzy does not`,
		`operation ` + operationID + ` failed`:                   `operation ` + operationID + ` failed`,
		`operation ` + digitsID + ` failed`:                      `operation ` + digitsID + ` failed`,
		`expired at 2026-11-22T10:00:00Z after 5 of 5, HTTP 503`: `expired at 2026-11-22T10:00:00Z after 5 of 5, HTTP 503`,
		`dial tcp 10.0.0.12:6379: connect: connection refused`:   `dial tcp 10.0.0.12:6379: connect: connection refused`,
		`******946 stays`:                                        `******946 stays`,
	} {
		got := maskText(in, []string{"qwertz"})
		if got != want {
			t.Errorf("maskText(%q) = %q, want %q", in, got, want)
		}
		if again := maskText(got, []string{"qwertz"}); again != got {
			t.Errorf("maskText(%q) = %q, want it unchanged", got, again)
		}
	}
}

// FuzzMaskPayload holds that whatever is in a payload, no run of digits in the length of a token comes
// through, and that masking twice is masking once.
func FuzzMaskPayload(f *testing.F) {
	for _, seed := range []string{
		`{"version":1,"operation_id":"` + operationID + `","seq":1}`,
		`{"version":1,"public_token":"103169946","reason":"x","expires_at":"2026-11-22T10:00:00Z"}`,
		`{"public_token":"******946"}`, `{"seq":1e9}`, `{"103169946":{}}`, `[1]`, `null`, ``, `[hidden, 3 bytes]`, "\xff",
	} {
		f.Add([]byte(seed))
	}
	leaves := regexp.MustCompile(`[0-9]{6,}`)
	allowed := regexp.MustCompile(`cw[0-9]{2}-[0-9A-Z]{26}|\[hidden, [0-9]+ bytes\]`)
	f.Fuzz(func(t *testing.T, in []byte) {
		got, _ := maskPayload(in)
		if run := leaves.FindString(allowed.ReplaceAllString(got, "")); run != "" {
			t.Errorf("maskPayload(%q) = %q, which shows %s", in, got, run)
		}
		if again, _ := maskPayload([]byte(got)); again != got {
			t.Errorf("masked again = %q, want %q", again, got)
		}
	})
}
