package worker

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/tasks"
)

// late is a hook of a worker's client: behind each script, and before its reply is read, all leases are extended.
type late struct{ worker atomic.Pointer[Worker] }

func (l *late) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (l *late) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		w := l.worker.Load()
		if w == nil || !strings.HasPrefix(cmd.Name(), "eval") {
			return err
		}
		w.leases.mu.Lock()
		held := make([]opstore.Lease, 0, len(w.leases.held))
		for lease := range w.leases.held {
			held = append(held, lease)
		}
		w.leases.mu.Unlock()
		l.worker.Store(nil) // The extension is a script as well.
		if len(held) > 0 {
			w.leases.extendShard(ctx, held)
		}
		l.worker.Store(w)
		return err
	}
}

func (l *late) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// A lease that a run gives up is not lost when an extension comes behind the write that gives it up: by the handover, by
// the result, by an attempt that asynq repeats, and by a pause that the worker's end cuts short.
func TestRun_WhatItGivesUpIsNotLost(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		after time.Duration // when the API wants to be asked again, 0 for at once
		cut   bool          // the worker stops meanwhile
	}{
		"an unblock that is confirmed": {},
		"one that asynq repeats":       {after: 1200 * time.Millisecond},
		"one whose pause is cut short": {after: 900 * time.Millisecond, cut: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			hook := &late{}
			api := &fakeAPI{}
			if tc.after > 0 {
				api.unblock = func(_ context.Context, call fakeCall) error {
					if call.Nth > 1 {
						api.apply(call)
						return nil
					}
					err := apiError(call.Name, payblr.ReasonThrottled, 429)
					err.RetryAfter = tc.after
					return err
				}
			}
			w := r.idle(api, func(c *Config) {
				connect := c.Connect
				c.Connect = func(role string) redis.UniversalClient {
					rdb := connect(role)
					if role == "worker" {
						rdb.AddHook(hook)
					}
					return rdb
				}
			})
			hook.worker.Store(w)
			if err := w.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			acc := r.accept(tasks.UnblockPIN, "101")
			if tc.cut {
				eventually(t, "it pauses", func() bool { return !r.record(acc.ID).Next.IsZero() })
				stop(t, w)
				r.work(api)
			}
			wantEnd(t, r.wait(acc.ID), "")
			stop(t, w)
			if log := r.log.String(); strings.Contains(log, "lease lost") {
				t.Errorf("a lease that was given up was lost:\n%s", log)
			}
		})
	}
}
