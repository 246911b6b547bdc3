package payblr

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestStartBefore_PassedLimitSendsNothing(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t, nil)
	c := api.client(t)
	past := StartBefore(t.Context(), time.Now())
	e := wantError(t, c.UnblockPIN(past, "1", Note{}), ClassNotSent, ReasonStartedTooLate)
	if e.MayHaveApplied() {
		t.Error("MayHaveApplied = true, want false")
	}
	wantError(t, c.CheckToken(past), ClassNotSent, ReasonStartedTooLate)
	api.wantRequests(t, 0, 0)
}

func TestStartBefore_DoesNotCutAStartedRequestShort(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t, nil)
	limit := make(chan time.Time, 1)
	api.api = func(w http.ResponseWriter, _ *http.Request, _ int) {
		<-time.After(time.Until(<-limit) + 50*time.Millisecond)
		w.WriteHeader(204)
	}
	c := api.client(t)
	obtainToken(t, c)
	at := time.Now().Add(800 * time.Millisecond)
	limit <- at
	if err := c.UnblockPIN(StartBefore(t.Context(), at), "1", Note{}); err != nil {
		t.Errorf("UnblockPIN = %v, want nil: it started in time", err)
	}
}

func TestStartBefore_NoRepeatAfterTheLimit(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t, nil)
	limit := make(chan time.Time, 1)
	api.api = func(w http.ResponseWriter, _ *http.Request, _ int) {
		<-time.After(time.Until(<-limit) + 10*time.Millisecond)
		w.WriteHeader(401)
	}
	c := api.client(t)
	obtainToken(t, c)
	at := time.Now().Add(800 * time.Millisecond)
	limit <- at
	e := wantError(t, c.UnblockPIN(StartBefore(t.Context(), at), "1", Note{}), ClassNotSent, ReasonStartedTooLate)
	if e.MayHaveApplied() {
		t.Error("MayHaveApplied = true, want false: the API refused the first request")
	}
	api.wantRequests(t, 1, 1)
}

func TestStartBefore_TokenThatComesLateIsNotUsed(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t, nil)
	release := make(chan struct{})
	api.token = func(w http.ResponseWriter, _ *http.Request, _ int) {
		<-release
		writeToken(w, "x", "3600")
	}
	c := api.client(t)
	ctx := StartBefore(t.Context(), time.Now().Add(600*time.Millisecond))
	wantError(t, c.UnblockPIN(ctx, "1", Note{}), ClassNotSent, ReasonStartedTooLate)
	close(release)
	api.wantRequests(t, 1, 0)
}

func TestStartBefore_GateIsToldAndItsWaitCounts(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t, nil)
	c := api.client(t, func(cfg *Config) {
		cfg.Gate = func(ctx context.Context, _ CallName) error {
			<-ctx.Done() // a limiter that has no place before the limit
			return nil
		}
	})
	ctx := StartBefore(t.Context(), time.Now().Add(600*time.Millisecond))
	wantError(t, c.UnblockPIN(ctx, "1", Note{}), ClassNotSent, ReasonStartedTooLate)
	api.wantRequests(t, 1, 0)
}

func TestStartBefore_SlowDialIsAbandonedAtTheLimit(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t, nil)
	c := api.client(t)
	obtainToken(t, c)
	c.transport.CloseIdleConnections()
	c.transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	ctx := StartBefore(t.Context(), time.Now().Add(600*time.Millisecond))
	e := wantError(t, c.UnblockPIN(ctx, "1", Note{}), ClassNotSent, ReasonStartedTooLate)
	if e.MayHaveApplied() {
		t.Error("MayHaveApplied = true, want false")
	}
	api.wantRequests(t, 1, 0)
}

func TestStartBefore_EarliestCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		early, late := time.Now().Add(time.Minute), time.Now().Add(time.Hour)
		for _, ctx := range []context.Context{
			StartBefore(StartBefore(t.Context(), early), late),
			StartBefore(StartBefore(t.Context(), late), early),
		} {
			if got, _ := startLimit(ctx); !got.Equal(early) {
				t.Errorf("limit = %v, want the earlier, %v", got, early)
			}
		}
		ctx := StartBefore(t.Context(), early)
		advance(time.Minute - 1)
		if reason, _ := cannotStart(ctx); reason != "" {
			t.Errorf("1 ns before the limit: %s, want leave to start", reason)
		}
		advance(1)
		if reason, _ := cannotStart(ctx); reason != ReasonStartedTooLate {
			t.Errorf("at the limit: %q, want %s", reason, ReasonStartedTooLate)
		}
	})
}

// A process may be suspended between the decision to send and the first byte. What it has no right to send
// any more when it goes on must not leave.
func TestStartWhile_IsAskedBeforeTheFirstByte(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]func(*Client, context.Context) error{
		"a write": func(c *Client, ctx context.Context) error { return c.UnblockPIN(ctx, "1", Note{}) },
		"a read":  func(c *Client, ctx context.Context) error { _, err := c.PINStatus(ctx, "1"); return err },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := newFakeAPI(t, nil)
			api.api = func(w http.ResponseWriter, r *http.Request, _ int) {
				if r.Method == http.MethodGet {
					w.Header().Set("Content-Type", "application/json")
					_, _ = w.Write([]byte(`{"status":"Unblocked"}`))
					return
				}
				w.WriteHeader(http.StatusNoContent)
			}
			c := api.client(t)
			// On a new connection, and then on one that is used again.
			for sent := range 2 {
				obtainToken(t, c)
				var asked atomic.Int32
				// The first time it is asked it is before a connection is looked for.
				ctx := StartWhile(t.Context(), func() bool { return asked.Add(1) == 1 })
				e := wantError(t, call(c, ctx), ClassNotSent, ReasonCancelledBeforeSending)
				if e.MayHaveApplied() {
					t.Error("MayHaveApplied = true, want false")
				}
				if n := asked.Load(); n < 2 {
					t.Errorf("it was asked %d times, want again before the first byte", n)
				}
				api.wantRequests(t, 1, sent)
				if err := call(c, StartWhile(t.Context(), func() bool { return true })); err != nil {
					t.Errorf("a call that may start: %v", err)
				}
			}
		})
	}
}
