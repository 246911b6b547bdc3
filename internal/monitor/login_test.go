package monitor

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func attempt(l *login, from, user, password string) verdict {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = from
	r.SetBasicAuth(user, password)
	return l.check(r)
}

func clockedLogin() (*login, *time.Time) {
	l := newLogin("admin", []byte("secret"))
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	l.now = func() time.Time { return now }
	return l, &now
}

func TestLogin_GrantsTheRightPairOnly(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		user, password string
		want           verdict
	}{
		{"admin", "secret", granted},
		{"admin", "Secret", refused},
		{"admin", "secret ", refused},
		{"admin", "", refused},
		{"Admin", "secret", refused},
		{"", "secret", refused},
		{"secret", "admin", refused},
	} {
		l, _ := clockedLogin()
		if got := attempt(l, "192.0.2.1:1", tc.user, tc.password); got != tc.want {
			t.Errorf("check(%q, %q) = %d, want %d", tc.user, tc.password, got, tc.want)
		}
	}
	l, _ := clockedLogin()
	if got := l.check(httptest.NewRequest(http.MethodGet, "/", nil)); got != absent {
		t.Errorf("check without a login = %d, want %d", got, absent)
	}
}

func TestLogin_ThrottlesWhoeverGuessesAndNobodyElse(t *testing.T) {
	t.Parallel()
	l, now := clockedLogin()
	for i := range failureBurst {
		// Another port is the same guesser.
		if got := attempt(l, fmt.Sprintf("192.0.2.1:%d", i+1), "admin", "guess"); got != refused {
			t.Fatalf("guess %d = %d, want %d", i+1, got, refused)
		}
	}
	if got := attempt(l, "192.0.2.1:1", "admin", "secret"); got != throttled {
		t.Errorf("after %d guesses = %d, want %d whatever the password", failureBurst, got, throttled)
	}
	if got := attempt(l, "192.0.2.2:1", "admin", "secret"); got != granted {
		t.Errorf("another address = %d, want %d", got, granted)
	}
	*now = now.Add(time.Second)
	if got := attempt(l, "192.0.2.1:1", "admin", "secret"); got != granted {
		t.Errorf("a second later = %d, want %d", got, granted)
	}
	if got := attempt(l, "192.0.2.1:1", "admin", "guess"); got != refused {
		t.Errorf("another guess = %d, want %d", got, refused)
	}
	if got := attempt(l, "192.0.2.1:1", "admin", "guess"); got != throttled {
		t.Errorf("two guesses in one second = %d, want %d", got, throttled)
	}
}

func TestLogin_CountsAnIPv6NetworkAsOne(t *testing.T) {
	t.Parallel()
	l, _ := clockedLogin()
	for i := range failureBurst {
		attempt(l, fmt.Sprintf("[2001:db8::%x]:1", i+1), "admin", "guess")
	}
	if got := attempt(l, "[2001:db8::ffff]:1", "admin", "secret"); got != throttled {
		t.Errorf("the same network = %d, want %d", got, throttled)
	}
	if got := attempt(l, "[2001:db8:0:1::1]:1", "admin", "secret"); got != granted {
		t.Errorf("another network = %d, want %d", got, granted)
	}
}

func TestLogin_SuccessCostsNothing(t *testing.T) {
	t.Parallel()
	l, _ := clockedLogin()
	for range 10 * failureBurst {
		if got := attempt(l, "192.0.2.1:1", "admin", "secret"); got != granted {
			t.Fatalf("check = %d, want %d", got, granted)
		}
	}
	if len(l.failures) != 0 {
		t.Errorf("%d addresses remembered, want 0", len(l.failures))
	}
}

func TestLogin_MemoryIsBounded(t *testing.T) {
	t.Parallel()
	l, _ := clockedLogin()
	for i := range 3 * maxAddresses {
		attempt(l, fmt.Sprintf("10.0.%d.%d:1", i/256, i%256), "admin", "guess")
		if len(l.failures) > maxAddresses {
			t.Fatalf("%d addresses remembered, want at most %d", len(l.failures), maxAddresses)
		}
	}
}
