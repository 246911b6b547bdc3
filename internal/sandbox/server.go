package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// stopTime bounds the Stop of Run.
const stopTime = 5 * time.Second

// listener is the sandbox's own server.
type listener struct {
	mu     sync.Mutex
	http   *http.Server // nil until started
	addr   net.Addr
	served chan struct{} // closed when serving has ended
	err    error         // why, set before served is closed; nil after Stop

	accepted, open atomic.Int64
}

// Start listens on Config.Addr and serves until Stop. ctx bounds the listening
// alone. Starting a started sandbox does nothing; after Stop it is an error.
func (s *Sandbox) Start(ctx context.Context) error {
	l := &s.server
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-s.stopping:
		return errors.New("sandbox: start: it was stopped; make a new one")
	default:
	}
	if l.http != nil {
		return nil
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", s.cfg.Addr)
	if err != nil {
		return fmt.Errorf("sandbox: listen on %s (free the port or choose another address): %w", s.cfg.Addr, err)
	}
	l.addr = ln.Addr()
	l.served = make(chan struct{})
	l.http = &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ConnState:         l.connState,
	}
	server := l.http
	go func() {
		defer close(l.served)
		if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			l.err = fmt.Errorf("sandbox: serve: %w", err)
		}
	}()
	return nil
}

// Stop ends every delay and hang, lets the other requests finish until ctx
// ends, and closes the rest. It is safe to call without Start, twice, and
// concurrently; the error is that of ctx when requests had to be cut off, or
// that of a listener that had failed.
func (s *Sandbox) Stop(ctx context.Context) error {
	l := &s.server
	s.stopOnce.Do(func() { close(s.stopping) })
	l.mu.Lock()
	server := l.http
	l.mu.Unlock()
	if server == nil {
		return nil
	}
	err := server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("sandbox: stop: requests were cut off: %w", err), server.Close())
	}
	<-l.served
	return errors.Join(err, l.err)
}

// Run is Start, waiting for ctx to end, and Stop within 5 s. It returns early
// when the listener fails.
func (s *Sandbox) Run(ctx context.Context) error {
	if err := s.Start(ctx); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-s.server.served:
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	return s.Stop(stop)
}

// URL is the base URL of the started sandbox, without a slash at its end;
// empty before Start.
func (s *Sandbox) URL() string {
	l := &s.server
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.addr == nil {
		return ""
	}
	host, port, err := net.SplitHostPort(l.addr.String())
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// TokenURL is the address of the token endpoint; empty before Start.
func (s *Sandbox) TokenURL() string {
	if base := s.URL(); base != "" {
		return base + tokenPath
	}
	return ""
}

// connState counts connections.
func (l *listener) connState(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		l.accepted.Add(1)
		l.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		l.open.Add(-1)
	}
}

func (l *listener) connections() (accepted, open int64) {
	return l.accepted.Load(), l.open.Load()
}
