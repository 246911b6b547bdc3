package payblr

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
)

const (
	// refreshShare and refreshAtLeast say when a token is replaced ahead of time,
	// in the background: with a tenth of its life left, or this much, whichever
	// is earlier; refreshAtMost bounds it for long-lived tokens.
	refreshShare   = 10
	refreshAtLeast = time.Minute
	refreshAtMost  = 5 * time.Minute
	// waitMargin is what must be left of a token for it to be used: it has to
	// outlive the way to the API, and the clocks' disagreement.
	waitMargin = 10 * time.Second

	// defaultLifetime is assumed when the token endpoint names no lifetime or a
	// senseless one. If it is too long, a 401 tells.
	defaultLifetime = 5 * time.Minute
	// maxLifetime caps what the token endpoint claims.
	maxLifetime = 24 * time.Hour

	// retryInterval is how long a failed exchange answers for those that follow:
	// hundreds of workers must not each ask a failing endpoint.
	retryInterval = time.Second
	// maxRetryInterval caps a Retry-After of the token endpoint in that role, so
	// that a recovery is noticed.
	maxRetryInterval = 30 * time.Second
)

// accessToken is a token and the moments in its life.
type accessToken struct {
	value Secret
	// generation counts the tokens of this process, from 1.
	generation uint64
	obtained   time.Time
	refreshAt  time.Time // from here on a new one is fetched in the background
	waitAt     time.Time // from here on callers wait for the new one
	expiry     time.Time
	// replacement: it was fetched because the API refused the one before.
	replacement bool
	// accepted: the API answered something other than 401 to it.
	accepted atomic.Bool
}

// worthReplacing reports whether, after a 401, another token may help. One that
// itself replaced a refused token a moment ago and was never accepted shows that
// it does not; without this rule every call would bring a token exchange while
// the API refuses them all.
func (t *accessToken) worthReplacing(now time.Time) bool {
	return !t.replacement || t.accepted.Load() || now.Sub(t.obtained) >= retryInterval
}

// grant is what the token endpoint gave.
type grant struct {
	value    Secret
	lifetime time.Duration
}

// flight is one exchange that any number of callers wait for. token and err are
// set before done closes.
type flight struct {
	done  chan struct{}
	token *accessToken
	err   *Error
}

// tokenSource keeps the access token of one client. Exchanges run in a goroutine
// of their own, at most one at a time, so that a caller who gives up takes
// nothing from the others.
type tokenSource struct {
	exchange func(context.Context) (grant, *Error)
	timeout  time.Duration
	ctx      context.Context // of the exchanges; ends with close
	cancel   context.CancelFunc
	running  sync.WaitGroup

	mu         sync.Mutex
	closed     bool
	current    *accessToken
	generation uint64
	inFlight   *flight
	failure    *Error    // of the last exchange
	retryAt    time.Time // no exchange before this, because of failure
}

func newTokenSource(exchange func(context.Context) (grant, *Error), timeout time.Duration) *tokenSource {
	s := &tokenSource{exchange: exchange, timeout: timeout}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// get returns a token of a generation above refused, which is 0 or that of a
// token the API refused. The error, if any, has no Call yet.
func (s *tokenSource) get(ctx context.Context, refused uint64) (*accessToken, *Error) {
	if err := whyNotStarted(ctx); err != nil {
		return nil, err
	}
	now := time.Now()
	s.mu.Lock()
	token := s.current
	if token != nil && token.generation <= refused {
		token = nil
	}
	if token != nil && now.Before(token.waitAt) {
		if !now.Before(token.refreshAt) {
			s.start(ctx, now, false)
		}
		s.mu.Unlock()
		return token, nil
	}
	f := s.start(ctx, now, refused != 0)
	failure := s.failure
	if f == nil && failure != nil {
		// What the endpoint said then is not how long this caller has to wait: there is another exchange at retryAt.
		c := *failure
		c.RetryAfter = max(0, s.retryAt.Sub(now))
		failure = &c
	}
	s.mu.Unlock()

	if f == nil {
		return lastResort(token, failure)
	}
	waitCtx, cancel := withStartLimit(ctx)
	defer cancel()
	select {
	case <-f.done:
	case <-waitCtx.Done():
		if err := whyNotStarted(ctx); err != nil {
			return nil, err
		}
		return nil, &Error{Class: ReasonStartedTooLate.Class(), Reason: ReasonStartedTooLate}
	}
	if f.err != nil {
		return lastResort(token, f.err)
	}
	return f.token, nil
}

// lastResort uses up the last seconds of a token when there will be no other.
func lastResort(token *accessToken, failure *Error) (*accessToken, *Error) {
	if token != nil && time.Now().Before(token.expiry) {
		return token, nil
	}
	return nil, failure
}

// whyNotStarted is cannotStart as an *Error without Call.
func whyNotStarted(ctx context.Context) *Error {
	reason, cause := cannotStart(ctx)
	if reason == "" {
		return nil
	}
	return &Error{Class: reason.Class(), Reason: reason, Err: cause}
}

// start returns the exchange in flight, having started one if there was none; nil
// while the last failure is too fresh. Call with mu held. Of ctx the exchange has
// the span alone: it is traced as part of what the first who waits does.
func (s *tokenSource) start(ctx context.Context, now time.Time, replacement bool) *flight {
	if s.inFlight != nil {
		return s.inFlight
	}
	if s.closed || now.Before(s.retryAt) {
		return nil
	}
	f := &flight{done: make(chan struct{})}
	s.inFlight = f
	span := trace.SpanContextFromContext(ctx)
	s.running.Go(func() { s.run(trace.ContextWithSpanContext(s.ctx, span), f, replacement) })
	return f
}

func (s *tokenSource) run(ctx context.Context, f *flight, replacement bool) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, errCallTimeout)
	defer cancel()
	begun := time.Now() // the lifetime counts from some moment after this
	g, err := s.exchange(ctx)

	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight = nil
	switch {
	case s.closed:
		f.err = s.failure
	case err != nil:
		failure := *err
		failure.RetryAfter = min(max(err.RetryAfter, retryInterval), maxRetryInterval)
		s.retryAt = time.Now().Add(failure.RetryAfter)
		f.err, s.failure = &failure, &failure
	default:
		s.generation++
		f.token = newAccessToken(g, s.generation, begun)
		f.token.replacement = replacement
		s.current = f.token
		s.failure = nil
	}
	close(f.done)
}

func newAccessToken(g grant, generation uint64, begun time.Time) *accessToken {
	life := min(g.lifetime, maxLifetime)
	if life <= 0 {
		life = defaultLifetime
	}
	// The margins shrink with a short life: a token must be usable for some of
	// it, or each call would fetch its own.
	refresh := min(max(life/refreshShare, refreshAtLeast), refreshAtMost, life/2)
	wait := min(waitMargin, life/4)
	expiry := begun.Add(life)
	return &accessToken{
		value:      g.value,
		generation: generation,
		obtained:   time.Now(),
		refreshAt:  expiry.Add(-refresh),
		waitAt:     expiry.Add(-wait),
		expiry:     expiry,
	}
}

// close ends the exchange in flight and waits for it. No other starts after.
func (s *tokenSource) close() {
	s.mu.Lock()
	s.closed = true
	s.failure = &Error{Class: ReasonClosed.Class(), Reason: ReasonClosed}
	s.mu.Unlock()
	s.cancel()
	s.running.Wait()
}
