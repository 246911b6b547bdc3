package failpoint

import (
	"strings"
	"testing"
)

func TestParse_ReadsSeveral(t *testing.T) {
	t.Parallel()
	got, err := parse("after-chain:3=kill,before-read:*2=panic")
	if err != nil || len(got) != 2 {
		t.Fatalf("parse = %v, %v", got, err)
	}
	for _, tc := range []struct {
		t    trigger
		hit  int64
		want bool
	}{
		{got[0], 2, false},
		{got[0], 3, true},
		{got[0], 6, false},
		{got[1], 1, false},
		{got[1], 2, true},
		{got[1], 4, true},
	} {
		if due := tc.t.due(tc.hit); due != tc.want {
			t.Errorf("%+v: due(%d) = %t", tc.t, tc.hit, due)
		}
	}
}

func TestParse_RefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"after-chain=kill":     "is not like",
		"after-chain:0=kill":   "is not like",
		"after-chain:3":        "is not like",
		"after-lunch:3=kill":   "there is no point",
		"after-chain:3=sneeze": "is none of",
	} {
		if _, err := parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("parse(%q) = %v, want an error that says %q", text, err, want)
		}
	}
}
