package payblr

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"
)

// handler is what the fake API does in answer to a call.
type handler = func(w http.ResponseWriter, r *http.Request, attempt int)

// hangUntilGone answers nothing until the client has given up.
func hangUntilGone(_ http.ResponseWriter, r *http.Request, _ int) { <-r.Context().Done() }

// headersThenHang sends a 200 and the first bytes of a body.
func headersThenHang(w http.ResponseWriter, r *http.Request, _ int) {
	_, _ = io.WriteString(w, `{"status":`) // the client may be gone
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// cutBody promises more than it sends.
func cutBody(w http.ResponseWriter, _ *http.Request, _ int) {
	w.Header().Set("Content-Length", "100")
	_, _ = io.WriteString(w, `{"status":"Unblocked"`)
	_ = http.NewResponseController(w).Flush()
	hangUp(w)
}

// cutHeader ends the connection inside the reply's header.
func cutHeader(w http.ResponseWriter, _ *http.Request, _ int) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	_, _ = rw.WriteString("HTTP/1.1 200 OK\r\nContent-Ty")
	_ = rw.Flush()
	_ = conn.Close()
}

// garbage answers something that is not HTTP, with a canary in it.
func garbage(w http.ResponseWriter, _ *http.Request, _ int) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	_, _ = rw.WriteString(canaryPIN + " is not HTTP\r\n\r\n")
	_ = rw.Flush()
	_ = conn.Close()
}

func body(status int, contentType, text string) handler {
	return func(w http.ResponseWriter, _ *http.Request, _ int) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}
}

func TestFaults_OnHTTP1AndHTTP2(t *testing.T) {
	t.Parallel()
	const short = 600 * time.Millisecond
	for _, tc := range []struct {
		name    string
		api     handler
		timeout time.Duration
		read    Reason
		write   Reason // "" = accepted
		h1Only  bool
	}{
		{"no answer", hangUntilGone, short, ReasonTimeout, ReasonTimeout, false},
		{"headers only", headersThenHang, short, ReasonTimeout, "", false},
		{"hung up", func(w http.ResponseWriter, _ *http.Request, _ int) { hangUp(w) }, patience, ReasonConnectionLost, ReasonConnectionLost, false},
		{"body cut", cutBody, patience, ReasonTruncated, "", true},
		{"header cut", cutHeader, patience, ReasonConnectionLost, ReasonConnectionLost, true},
		{"not HTTP", garbage, patience, ReasonConnectionLost, ReasonConnectionLost, true},
		{"huge body", body(200, "application/json", `{"status":"Unblocked","x":"`+strings.Repeat("x", 1<<20)+`"}`), patience, ReasonBodyTooLarge, "", false},
		{"huge error body", body(500, "text/plain", strings.Repeat("x", 1<<20)), patience, ReasonServerError, ReasonServerError, false},
		{"HTML page", body(200, "text/html", "<html><body>maintenance</body></html>"), patience, ReasonUnreadableBody, "", false},
		{"HTML error page", body(502, "text/html", "<html>bad gateway</html>"), patience, ReasonBadGateway, ReasonBadGateway, false},
		{"JSON said to be HTML", body(200, "text/html", `{"status":"Unblocked"}`), patience, "", "", false},
		{"empty body", body(200, "application/json", ""), patience, ReasonEmptyBody, "", false},
		{"truncated JSON", body(200, "application/json", `{"status":"Unblo`), patience, ReasonUnreadableBody, "", false},
		{"another shape", body(200, "application/json", `{"pin":"1234"}`), patience, ReasonWrongShape, "", false},
	} {
		for proto, start := range map[string]func(*httptest.Server){"HTTP1": (*httptest.Server).StartTLS, "HTTP2": startHTTP2} {
			if tc.h1Only && proto == "HTTP2" {
				continue
			}
			t.Run(tc.name+"/"+proto, func(t *testing.T) {
				t.Parallel()
				api := newFakeAPI(t, start)
				api.api = tc.api
				c := api.client(t, timeout(tc.timeout))
				api.token = func(w http.ResponseWriter, _ *http.Request, _ int) { writeToken(w, "x", "3600") }

				// A token first, so that the short time limit is the API's alone.
				obtainToken(t, c)
				_, err := c.PINStatus(t.Context(), "1")
				checkFault(t, "read", err, tc.read)
				err = c.UnblockPIN(t.Context(), "1", Note{})
				checkFault(t, "write", err, tc.write)
				if e, ok := errors.AsType[*Error](err); ok && !e.MayHaveApplied() {
					t.Errorf("write: MayHaveApplied = false, want true after %s", tc.write)
				}
				api.wantRequests(t, 1, 2)
			})
		}
	}
}

func obtainToken(t testing.TB, c *Client) {
	t.Helper()
	full := c.tokens.timeout
	c.tokens.timeout = patience
	if err := c.CheckToken(t.Context()); err != nil {
		t.Fatalf("CheckToken: %v", err)
	}
	c.tokens.timeout = full
}

// expire makes the next caller fetch a token.
func (s *tokenSource) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = nil
}

func checkFault(t testing.TB, what string, err error, want Reason) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Errorf("%s: %v, want nil", what, err)
		}
		return
	}
	wantError(t, err, want.Class(), want)
}

func TestFaults_TimeLimitLooksLikeADeadline(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t, nil)
	api.api = hangUntilGone
	c := api.client(t, timeout(150*time.Millisecond))
	obtainToken(t, c)
	_, err := c.PINStatus(t.Context(), "1")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("errors.Is(%v, context.DeadlineExceeded) = false, want true", err)
	}
}

func TestFaults_CancelledOnTheWay(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		end    func(context.Context) (context.Context, context.CancelFunc)
		reason Reason
		is     error
	}{
		"cancelled": {context.WithCancel, ReasonCancelled, context.Canceled},
		"deadline": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 600*time.Millisecond)
		}, ReasonDeadlineExceeded, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := newFakeAPI(t, nil)
			arrived := make(chan struct{}, 1)
			api.api = func(w http.ResponseWriter, r *http.Request, attempt int) {
				arrived <- struct{}{}
				hangUntilGone(w, r, attempt)
			}
			c := api.client(t)
			obtainToken(t, c)
			ctx, cancel := tc.end(t.Context())
			defer cancel()
			result := make(chan error, 1)
			go func() { result <- c.UnblockPIN(ctx, "1", Note{}) }()
			receive(t, arrived, "request")
			if name == "cancelled" {
				cancel()
			}
			e := wantError(t, receive(t, result, "result"), ClassUnavailable, tc.reason)
			if !e.MayHaveApplied() || !errors.Is(e, tc.is) {
				t.Errorf("MayHaveApplied = %v, errors.Is(%v) = %v, want true, true", e.MayHaveApplied(), tc.is, errors.Is(e, tc.is))
			}
		})
	}
}

func TestFaults_DoneContextSendsNothing(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t, nil)
	c := api.client(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	e := wantError(t, c.UnblockPIN(ctx, "1", Note{}), ClassNotSent, ReasonCancelledBeforeSending)
	if e.MayHaveApplied() || !errors.Is(e, context.Canceled) {
		t.Errorf("MayHaveApplied = %v, errors.Is(Canceled) = %v, want false, true", e.MayHaveApplied(), errors.Is(e, context.Canceled))
	}
	ctx, cancel = context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	wantError(t, c.UnblockPIN(ctx, "1", Note{}), ClassNotSent, ReasonDeadlineBeforeSending)
	api.wantRequests(t, 0, 0)
}

// closedPort returns a loopback address that refuses connections.
func closedPort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestFaults_BeforeAConnectionNothingIsSent(t *testing.T) {
	t.Parallel()
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		api := newFakeAPI(t, nil)
		c := api.client(t, func(cfg *Config) { cfg.BaseURL = "http://" + closedPort(t) })
		e := wantError(t, c.UnblockPIN(t.Context(), "1", Note{}), ClassUnavailable, ReasonConnectRefused)
		if e.MayHaveApplied() || !errors.Is(e, syscall.ECONNREFUSED) {
			t.Errorf("MayHaveApplied = %v, errors.Is(ECONNREFUSED) = %v, want false, true", e.MayHaveApplied(), errors.Is(e, syscall.ECONNREFUSED))
		}
	})
	t.Run("certificate", func(t *testing.T) {
		t.Parallel()
		api, tlsAPI := newFakeAPI(t, nil), newFakeAPI(t, (*httptest.Server).StartTLS)
		c := api.client(t, func(cfg *Config) { cfg.BaseURL = tlsAPI.URL })
		e := wantError(t, c.UnblockPIN(t.Context(), "1", Note{}), ClassUnavailable, ReasonTLSFailed)
		if e.MayHaveApplied() || !strings.Contains(e.Error(), "certificate") {
			t.Errorf("MayHaveApplied = %v, want false; %v, want a word about the certificate", e.MayHaveApplied(), e)
		}
		tlsAPI.wantRequests(t, 0, 0)
	})
	t.Run("plain http on the https port", func(t *testing.T) {
		t.Parallel()
		api := newFakeAPI(t, nil)
		c := api.client(t, func(cfg *Config) { cfg.BaseURL = strings.Replace(api.URL, "http:", "https:", 1) })
		e := wantError(t, c.UnblockPIN(t.Context(), "1", Note{}), ClassUnavailable, ReasonTLSFailed)
		if e.MayHaveApplied() {
			t.Error("MayHaveApplied = true, want false")
		}
	})
	t.Run("no free connection", func(t *testing.T) {
		t.Parallel()
		api := newFakeAPI(t, nil)
		arrived, release := make(chan struct{}, 1), make(chan struct{})
		api.api = func(w http.ResponseWriter, _ *http.Request, _ int) {
			arrived <- struct{}{}
			<-release
			w.WriteHeader(204)
		}
		c := api.client(t, func(cfg *Config) { cfg.MaxConnsPerHost = 1 })
		first := make(chan error, 1)
		go func() { first <- c.UnblockPIN(t.Context(), "1", Note{}) }()
		receive(t, arrived, "request")

		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		e := wantError(t, c.UnblockPIN(ctx, "2", Note{}), ClassNotSent, ReasonDeadlineBeforeSending)
		if e.MayHaveApplied() {
			t.Error("MayHaveApplied = true, want false: it never had a connection")
		}
		close(release)
		if err := receive(t, first, "result"); err != nil {
			t.Error(err)
		}
		api.wantRequests(t, 1, 1)
	})
}

// TestReplay_LostReadIsNotSentAgain: net/http would, on a reused connection. The
// fake token endpoint shares the host with the API, so the connection is reused.
func TestReplay_LostReadIsNotSentAgain(t *testing.T) {
	t.Parallel()
	for proto, start := range map[string]func(*httptest.Server){"HTTP": nil, "HTTPS": (*httptest.Server).StartTLS} {
		t.Run(proto, func(t *testing.T) {
			t.Parallel()
			api := newFakeAPI(t, start)
			api.api = func(w http.ResponseWriter, _ *http.Request, _ int) { hangUp(w) }
			c := api.client(t)
			obtainToken(t, c)
			for range 3 {
				_, err := c.PINStatus(t.Context(), "1")
				wantError(t, err, ClassUnavailable, ReasonConnectionLost)
				// The next exchange leaves a connection to reuse again.
				c.tokens.expire()
				obtainToken(t, c)
			}
			api.wantRequests(t, 4, 3)
		})
	}
}

// TestReplay_AppliedThenClosedIsSentOnce is the trap of a reused connection: the
// server applies the unblock and closes instead of answering, and net/http would
// send some requests again on a new connection.
func TestReplay_AppliedThenClosedIsSentOnce(t *testing.T) {
	t.Parallel()
	for proto, start := range map[string]func(*httptest.Server){"HTTP1": nil, "HTTP2": startHTTP2} {
		for call, unblock := range map[CallName]func(*Client, context.Context, string, Note) error{
			CallUnblockPIN: (*Client).UnblockPIN, CallUnblockCVV: (*Client).UnblockCVV,
		} {
			t.Run(fmt.Sprint(proto, "/", call), func(t *testing.T) {
				t.Parallel()
				api := newFakeAPI(t, start)
				answer := api.api
				api.api = func(w http.ResponseWriter, r *http.Request, attempt int) {
					if r.Method == http.MethodGet {
						answer(w, r, attempt)
						return
					}
					hangUp(w)
				}
				c := api.client(t)
				if _, err := c.PINStatus(t.Context(), "1"); err != nil {
					t.Fatal(err) // leaves a connection to reuse
				}
				req, err := c.request(t.Context(), call, "1", &accessToken{}, []byte("{}"))
				if err != nil || req.GetBody != nil {
					t.Errorf("request = %v, GetBody set: %v, want a body that cannot be had twice", err, req.GetBody != nil)
				}
				e := wantError(t, unblock(c, t.Context(), "1", Note{}), ClassUnavailable, ReasonConnectionLost)
				if !e.MayHaveApplied() {
					t.Error("MayHaveApplied = false, want true")
				}
				api.wantRequests(t, 1, 2) // one read, one unblock
			})
		}
	}
}
