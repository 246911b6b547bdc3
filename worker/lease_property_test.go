package worker

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/quick"
	"testing/synctest"
	"time"

	"github.com/cardworker/cardworker/internal/opstore"
)

// moodyRedis extends a lease after a random time, answers after another, and fails at random, before or after
// it has extended it.
type moodyRedis struct {
	mu      sync.Mutex
	random  *rand.Rand
	slowest time.Duration
	fails   float64
	ends    time.Time // of the lease, as Redis keeps it
	lapsed  time.Time // when somebody else could have taken it, or zero
}

var errMoody = errors.New("redis did not answer")

func (m *moodyRedis) delay() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Duration(m.random.Int64N(int64(m.slowest)))
}

func (m *moodyRedis) chance() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.random.Float64() < m.fails
}

func (m *moodyRedis) extend(ctx context.Context, _ []opstore.Lease) ([]opstore.Lease, error) {
	wait := func(d time.Duration) {
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
	}
	wait(m.delay())
	if m.chance() || ctx.Err() != nil {
		return nil, errMoody
	}
	m.mu.Lock()
	if now := time.Now(); now.After(m.ends) && m.lapsed.IsZero() {
		m.lapsed = m.ends
	}
	m.ends = time.Now().Add(testTTL)
	m.mu.Unlock()
	wait(m.delay())
	if m.chance() || ctx.Err() != nil {
		return nil, errMoody
	}
	return nil, nil
}

// firstLapse returns when the lease could be taken for the first time.
func (m *moodyRedis) firstLapse() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lapsed.IsZero() {
		return m.ends
	}
	return m.lapsed
}

func TestLeases_NoRunOutlivesItsLeaseWhateverRedisDoes(t *testing.T) {
	t.Parallel()
	cancelled := 0
	for seed := range uint64(150) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 3))
			m := &moodyRedis{
				random: rnd, slowest: time.Duration(1 + rnd.Int64N(int64(3*time.Second))), fails: rnd.Float64() * 0.5,
				ends: time.Now().Add(testTTL),
			}
			ls := newLeases(extendFunc(m.extend), testTTL, silentLog(), func() {})
			running, stop := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() { ls.keep(running); close(ended) }()
			ctx, release := ls.hold(t.Context(), someLease, time.Now())
			select {
			case <-ctx.Done():
				cancelled++
				if lapse := m.firstLapse(); time.Now().After(lapse) {
					t.Errorf("seed %d: the run went on for %s after its lease had lapsed", seed, time.Since(lapse))
				}
			case <-time.After(time.Minute):
				if lapse := m.firstLapse(); time.Now().After(lapse) {
					t.Errorf("seed %d: the run goes on though its lease lapsed %s ago", seed, time.Since(lapse))
				}
			}
			release()
			stop()
			<-ended
		})
	}
	if cancelled == 0 || cancelled == 150 {
		t.Errorf("%d of 150 runs lost their lease: the test tries one side only", cancelled)
	}
}

func TestStartLimit_IsNotAfterTheExpiryWhateverTheClocksSay(t *testing.T) {
	t.Parallel()
	check := func(skewMS int32, wayMS, lifeMS uint16) bool {
		sent := time.Now()
		skew, way := time.Duration(skewMS)*time.Millisecond, time.Duration(wayMS)*time.Millisecond
		now := sent.Add(way + skew) // What the clock of Redis shows when the request arrives.
		b := opstore.Begun{Now: now}
		b.Record.Expires = now.Add(time.Duration(lifeMS) * time.Millisecond)
		limit, expiry := startLimit(b, sent), b.Record.Expires.Add(-skew)
		return !limit.After(expiry) && expiry.Sub(limit) <= way
	}
	if err := quick.Check(check, &quick.Config{MaxCount: 20_000}); err != nil {
		t.Error(err)
	}
}
