package tasks

import (
	"strings"
	"testing"
)

func TestCheckNotes_Bounds(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		check func(string) error
		in    string
		ok    bool
	}{
		"no reason":              {CheckReason, "", true},
		"reason at the bound":    {CheckReason, strings.Repeat("é", MaxReason), true},
		"reason over the bound":  {CheckReason, strings.Repeat("é", MaxReason+1), false},
		"reason not UTF-8":       {CheckReason, "secret\xff", false},
		"no name":                {CheckUpdatedBy, "", true},
		"name at the bound":      {CheckUpdatedBy, strings.Repeat("é", MaxUpdatedBy), true},
		"name over the bound":    {CheckUpdatedBy, strings.Repeat("é", MaxUpdatedBy+1), false},
		"no key":                 {CheckIdempotencyKey, "", false},
		"key of one character":   {CheckIdempotencyKey, "k", true},
		"key at the bound":       {CheckIdempotencyKey, strings.Repeat("~", MaxIdempotencyKey), true},
		"key over the bound":     {CheckIdempotencyKey, strings.Repeat("k", MaxIdempotencyKey+1), false},
		"key with a space":       {CheckIdempotencyKey, "tap 1", true},
		"key with a line's end":  {CheckIdempotencyKey, "secret\n", false},
		"key with DEL":           {CheckIdempotencyKey, "secret\x7f", false},
		"key with another alpha": {CheckIdempotencyKey, "secretα", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := tc.check(tc.in)
			if (err == nil) != tc.ok {
				t.Errorf("check = %v, want success: %v", err, tc.ok)
			}
			if err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "éé")) {
				t.Errorf("check = %q, which repeats the text", err)
			}
		})
	}
}
