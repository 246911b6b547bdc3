package payblr

import (
	"net/http"
	"strings"
	"time"
)

// maxRetryAfter caps what a server may ask for: an absurd value must not park a
// card for a day.
const maxRetryAfter = time.Hour

// retryAfter reads the Retry-After header (RFC 9110, section 10.2.3) of a reply
// received at now. A date is taken relative to the reply's own Date header, so
// that a wrong clock on either side does not matter, and to now without one.
// 0 = none, unreadable, negative or past; never more than maxRetryAfter.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return 0
	}
	if strings.Trim(v, "0123456789") == "" {
		return secondsAtMost(v)
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}

// secondsAtMost converts a string of digits, however long.
func secondsAtMost(digits string) time.Duration {
	digits = strings.TrimLeft(digits, "0")
	if len(digits) > 4 { // more than 9999 s is more than the cap
		return maxRetryAfter
	}
	var n time.Duration
	for _, d := range digits {
		n = n*10 + time.Duration(d-'0')
	}
	return min(n*time.Second, maxRetryAfter)
}
