package payblr

import (
	"net/http"
	"testing"
	"time"
)

func TestRetryAfter_BothForms(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	at := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	for _, tc := range []struct {
		name, value, date string
		want              time.Duration
	}{
		{"absent", "", "", 0},
		{"seconds", "7", "", 7 * time.Second},
		{"padded seconds", " 07 ", "", 7 * time.Second},
		{"zero", "0", "", 0},
		{"an hour", "3600", "", time.Hour},
		{"more than an hour", "3601", "", time.Hour},
		{"absurd", "99999999999999999999999999", "", time.Hour},
		{"negative", "-5", "", 0},
		{"fraction", "1.5", "", 0},
		{"word", "soon", "", 0},
		{"date by our clock", at(90 * time.Second), "", 90 * time.Second},
		{"date by the server's clock", at(2*time.Hour + 30*time.Second), at(2 * time.Hour), 30 * time.Second},
		{"date with an unreadable Date", at(time.Minute), "today", time.Minute},
		{"past date", at(-time.Minute), "", 0},
		{"far date", at(1000 * time.Hour), "", time.Hour},
		{"RFC 850 date", now.Add(time.Minute).Format("Monday, 02-Jan-06 15:04:05 GMT"), "", time.Minute},
		{"overflowing date", "Sat, 01 Jan 9999 00:00:00 GMT", "", time.Hour},
	} {
		h := http.Header{}
		if tc.value != "" {
			h.Set("Retry-After", tc.value)
		}
		if tc.date != "" {
			h.Set("Date", tc.date)
		}
		if got := retryAfter(h, now); got != tc.want {
			t.Errorf("%s: retryAfter(%q, Date %q) = %v, want %v", tc.name, tc.value, tc.date, got, tc.want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("7", "")
	f.Add("-1", "")
	f.Add("Sun, 22 Nov 2026 10:00:00 GMT", "Sun, 22 Nov 2026 09:59:00 GMT")
	f.Fuzz(func(t *testing.T, value, date string) {
		h := http.Header{"Retry-After": {value}, "Date": {date}}
		if got := retryAfter(h, time.Now()); got < 0 || got > maxRetryAfter {
			t.Errorf("retryAfter(%q, %q) = %v, want 0 to %v", value, date, got, maxRetryAfter)
		}
	})
}
