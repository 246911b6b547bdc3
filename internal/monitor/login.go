package monitor

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// After failureBurst failed logins an address may try once a second.
	failureBurst = 10
	failureRate  = rate.Limit(1)
	// maxAddresses bounds the memory that failed logins can take.
	maxAddresses = 1024
)

type verdict int

const (
	refused verdict = iota // the zero verdict lets nobody in
	granted
	absent    // no login was given, as in every first request of a browser
	throttled // too many failures; the login was not looked at
)

// login checks HTTP Basic credentials. It keeps digests alone, which also are of equal length, so that
// the time of a comparison tells nothing. Safe for concurrent use.
type login struct {
	user, password [sha256.Size]byte
	now            func() time.Time

	mu       sync.Mutex
	failures map[netip.Prefix]*rate.Limiter
}

func newLogin(user string, password []byte) *login {
	return &login{
		user:     sha256.Sum256([]byte(user)),
		password: sha256.Sum256(password),
		now:      time.Now,
		failures: make(map[netip.Prefix]*rate.Limiter),
	}
}

// check judges the credentials of a request. Addresses are throttled one by one, so that somebody who
// guesses does not lock out the operator; behind a proxy all have the proxy's.
func (l *login) check(r *http.Request) verdict {
	user, password, ok := r.BasicAuth()
	if !ok {
		return absent
	}
	from, now := source(r.RemoteAddr), l.now()

	// One at a time, or many guesses at once would all pass before the first is counted.
	l.mu.Lock()
	defer l.mu.Unlock()
	limiter := l.failures[from]
	if limiter != nil && limiter.TokensAt(now) < 1 {
		return throttled
	}
	givenUser, givenPassword := sha256.Sum256([]byte(user)), sha256.Sum256([]byte(password))
	if subtle.ConstantTimeCompare(givenUser[:], l.user[:])&subtle.ConstantTimeCompare(givenPassword[:], l.password[:]) == 1 {
		return granted
	}
	if limiter == nil {
		l.makeRoom(now)
		limiter = rate.NewLimiter(failureRate, failureBurst)
		l.failures[from] = limiter
	}
	limiter.AllowN(now, 1)
	return refused
}

// makeRoom forgets the addresses that have recovered or, if none has, all of them: whoever commands so
// many addresses gains little by it.
func (l *login) makeRoom(now time.Time) {
	if len(l.failures) < maxAddresses {
		return
	}
	for from, limiter := range l.failures {
		if limiter.TokensAt(now) >= failureBurst {
			delete(l.failures, from)
		}
	}
	if len(l.failures) >= maxAddresses {
		clear(l.failures)
	}
}

// source returns what counts as one address: of IPv6 the network, since a host may choose freely
// within it. What is no address counts as one.
func source(remote string) netip.Prefix {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	addr, bits := ap.Addr().Unmap(), 32
	if addr.Is6() {
		bits = 64
	}
	prefix, err := addr.WithZone("").Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}
