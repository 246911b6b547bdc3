package payblr

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"sync"
	"testing"
	"time"
)

func TestTransport_ReusesConnectionsUnderAThousandCallsInFlight(t *testing.T) {
	t.Parallel()
	const callers, rounds = 1000, 3
	var mu sync.Mutex
	opened := 0
	api := newFakeAPI(t, func(s *httptest.Server) {
		s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				mu.Lock()
				defer mu.Unlock()
				opened++
			}
		}
		s.Start()
	})
	arrived, release := make(chan struct{}, callers), make(chan struct{})
	api.api = func(w http.ResponseWriter, _ *http.Request, _ int) {
		arrived <- struct{}{}
		<-release
		writeJSON(w, 200, `{"status":"Unblocked"}`)
	}
	c := api.client(t, func(c *Config) { c.MaxConnsPerHost = callers })
	errs := make(chan error, callers)
	for range rounds {
		for range callers {
			go func() { _, err := c.PINStatus(t.Context(), "1"); errs <- err }()
		}
		for range callers {
			receive(t, arrived, "request") // all are in flight at once
		}
		for range callers {
			release <- struct{}{}
		}
		for range callers {
			if err := receive(t, errs, "result"); err != nil {
				t.Fatal(err)
			}
		}
	}
	mu.Lock()
	defer mu.Unlock()
	// A round's last connections may come back to the pool after the next begins.
	if opened > 2*callers {
		t.Errorf("connections = %d for %d rounds of %d calls, want about %d", opened, rounds, callers, callers)
	}
}

func TestTransport_KeepsAsManyIdleAsItMayOpen(t *testing.T) {
	t.Parallel()
	tr := newTransport(Config{}.withDefaults())
	if tr.MaxIdleConnsPerHost != tr.MaxConnsPerHost || tr.MaxIdleConns != 0 || tr.MaxConnsPerHost != DefaultMaxConnsPerHost {
		t.Errorf("MaxIdleConnsPerHost = %d, MaxIdleConns = %d, MaxConnsPerHost = %d, want %[4]d, 0 (no limit), %[4]d",
			tr.MaxIdleConnsPerHost, tr.MaxIdleConns, tr.MaxConnsPerHost, DefaultMaxConnsPerHost)
	}
}

func TestTransport_PlainHTTPGoesThroughNoProxy(t *testing.T) {
	t.Parallel()
	got, err := proxyForTLS(&http.Request{URL: &url.URL{Scheme: "http", Host: "sandbox"}})
	if got != nil || err != nil {
		t.Errorf("proxy = %v, %v, want none", got, err)
	}
}

func TestAttempt_ConnectionThatComesTooLateIsMuted(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	late := &conn{Conn: near}
	a := newAttempt(StartBefore(t.Context(), time.Now()), time.Minute)
	defer a.end()
	<-a.ctx.Done()
	a.gotConn(httptrace.GotConnInfo{Conn: late})
	if n, err := late.Write([]byte("x")); n != 0 || !errors.Is(err, errMuted) {
		t.Errorf("Write = %d, %v, want 0, %v", n, err, errMuted)
	}
	if a.connected() {
		t.Error("connected = true, want false: nothing can have left")
	}
}

func TestAttempt_SecondConnectionServesWhenTheFirstCarriedNothing(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	a := newAttempt(t.Context(), time.Minute)
	defer a.end()
	first, second, third := &conn{Conn: near}, &conn{Conn: near}, &conn{Conn: near}
	a.gotConn(httptrace.GotConnInfo{Conn: first})
	a.gotConn(httptrace.GotConnInfo{Conn: second})
	if second.muted.Load() {
		t.Error("the second connection is muted, want it to serve: nothing was sent on the first")
	}
	second.wrote.Store(true)
	a.gotConn(httptrace.GotConnInfo{Conn: third})
	if !third.muted.Load() || a.ctx.Err() == nil {
		t.Error("the third connection is not muted, want no second sending")
	}
}
