package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/internal/audit"
	"github.com/cardworker/cardworker/internal/gate"
	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/internal/sandbox"
	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/tasks"
)

// The gate is told of calls in the words of the API client; here is what they come to.
func TestTell_WhatEachOutcomeSaysOfTheAPI(t *testing.T) {
	t.Parallel()
	const many = 100
	for name, tc := range map[string]struct {
		call payblr.Call
		// opens: that many of them open the breaker. holds: one of them makes everybody wait.
		opens, holds bool
	}{
		"it works":                  {call: payblr.Call{Name: payblr.CallPINStatus, Status: 200}},
		"it does not know the card": {call: failedCall(payblr.ReasonNotFound, 404)},
		"it refuses the token":      {call: failedCall(payblr.ReasonAccessTokenRefused, 401)},
		"it cannot be read":         {call: failedCall(payblr.ReasonUnreadableBody, 200)},
		"it fails":                  {call: failedCall(payblr.ReasonServerError, 500), opens: true},
		"it does not answer":        {call: failedCall(payblr.ReasonTimeout, 0), opens: true},
		"it cannot be reached":      {call: failedCall(payblr.ReasonConnectRefused, 0), opens: true},
		"it was not waited for":     {call: failedCall(payblr.ReasonCancelled, 0)},
		"it has had enough":         {call: asksFor(failedCall(payblr.ReasonThrottled, 429), 30*time.Second), holds: true},
		"it has, for no time":       {call: failedCall(payblr.ReasonThrottled, 429)},
		"it fails for a while":      {call: asksFor(failedCall(payblr.ReasonServiceUnavailable, 503), 30*time.Second), opens: true, holds: true},
		"the token endpoint fails":  {call: payblr.Call{Name: payblr.CallToken, Status: 503, Class: payblr.ClassUnavailable, Reason: payblr.ReasonTokenUnavailable, RetryAfter: time.Minute}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rdb, _ := redistest.Shared(t)
			g := gate.New(rdb, gate.Config{FirstOpen: time.Hour, LongestOpen: time.Hour})
			defer func() {
				if err := g.Close(); err != nil {
					t.Errorf("close the gate: %v", err)
				}
			}()
			tell(g, tc.call)
			if got := isRefused(g); got != tc.holds {
				t.Errorf("refused after one: %t, want %t", got, tc.holds)
			}
			for range many {
				tell(g, tc.call)
			}
			// Ten more outcomes that do count have all of them reported.
			for range 10 {
				g.Observe(gate.Outcome{Result: gate.Failed})
			}
			settled(t, rdb, tc.opens)
		})
	}
}

// A probe of an API that is down must not close the breaker because nobody waited for it to fail.
func TestTell_ACallThatWasGivenUpHereSaysNothingOfTheAPI(t *testing.T) {
	t.Parallel()
	for _, reason := range []payblr.Reason{
		payblr.ReasonGateRefused, payblr.ReasonStartedTooLate, payblr.ReasonCancelledBeforeSending,
		payblr.ReasonDeadlineBeforeSending, payblr.ReasonCancelled, payblr.ReasonDeadlineExceeded,
	} {
		if got := outcomeOf(failedCall(reason, 0)).Result; got != gate.Unclear {
			t.Errorf("outcomeOf(%s) = %v, want Unclear", reason, got)
		}
	}
}

// settled waits until the failures have been weighed and checks whether the breaker is open.
func settled(t testing.TB, rdb redis.UniversalClient, opens bool) {
	t.Helper()
	const state, window = "cardworker:{gate}:state", "cardworker:{gate}:window"
	deadline, tick := time.After(patience), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for {
		open := rdb.HGet(t.Context(), state, "open_until").Val()
		if open != "" && open != "0" {
			if !opens {
				t.Error("the breaker opened, want it closed")
			}
			return
		}
		bad := 0
		for field, n := range rdb.HGetAll(t.Context(), window).Val() {
			if count, err := strconv.Atoi(n); err == nil && strings.HasSuffix(field, ":bad") {
				bad += count
			}
		}
		if bad >= 10 && !opens {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("after %s, %d failures are counted, and the breaker is closed", patience, bad)
		}
	}
}

func failedCall(r payblr.Reason, status int) payblr.Call {
	return payblr.Call{Name: payblr.CallPINStatus, Status: status, Class: r.Class(), Reason: r}
}

func asksFor(c payblr.Call, d time.Duration) payblr.Call {
	c.RetryAfter = d
	return c
}

func isRefused(g *gate.Gate) bool {
	var r *gate.Refused
	return errors.As(g.Wait(context.Background()), &r)
}

func TestWorker_AnOutageStopsTheCallsAndCostsNoOperation(t *testing.T) {
	// It is not parallel: it says how many calls there are in a time.
	const operations, outage = 300, 4 * time.Second
	rdb, redisURL := redistest.Shared(t)
	api, environ := sandboxAPI(t, redisURL)
	first, second := startWorker(t, environ), startWorker(t, environ)
	client := enqueuer(t, redisURL)

	if err := api.AddFault(sandbox.Fault{Do: sandbox.DoStatus, Status: 503}); err != nil {
		t.Fatalf("AddFault: %v", err)
	}
	began := time.Now()
	over := time.AfterFunc(outage, api.ClearFaults)
	defer over.Stop()
	run := audit.Run{Finals: map[string]tasks.Operation{}, Bound: 30 * time.Second, Slack: 250 * time.Millisecond}
	for n := range operations {
		card := strconv.Itoa(100_000_000 + n)
		acc, err := client.Accept(t.Context(), tasks.UnblockPIN, card)
		if err != nil {
			t.Fatalf("accept: %v", err)
		}
		run.Requests = append(run.Requests, audit.Request{Kind: tasks.UnblockPIN, Card: card, ID: acc.ID})
	}
	most := 0
	for _, q := range run.Requests {
		op := finished(t, client, q.ID)
		if op.State != tasks.Succeeded {
			t.Errorf("%s is %s with %+v, want succeeded", q.ID, op.State, op.Error)
		}
		run.Finals[q.ID], most = op, max(most, op.Attempts)
	}
	t.Logf("all ended after %s, with %d attempts at most", time.Since(began).Round(time.Millisecond), most)
	if most > 6 {
		t.Errorf("%d attempts, want 6 at most: those of the outage's first second, and one after", most)
	}
	first.stderr.await(t, "the circuit breaker is open")
	second.stderr.await(t, "the API works again")

	run.Calls = api.Ledger()
	during, after := 0, map[int]int{}
	for _, c := range run.Calls {
		switch since := c.ReceivedAt.Sub(began); {
		case c.Call == sandbox.CallToken, since < time.Second:
		case since < outage:
			during++
		default:
			after[int((since-outage)/(100*time.Millisecond))]++
		}
	}
	// Probes at 1, 3 s and a bit; without a breaker some hundred.
	if during > 5 {
		t.Errorf("%d calls between the first second and the end of the outage, want a probe now and then", during)
	}
	for tenth, n := range after {
		// Each operation takes two calls or three.
		if n > operations {
			t.Errorf("%d calls in the %dth tenth of a second after the outage: a herd", n, tenth)
		}
	}
	t.Logf("%d calls while it was open; after the outage by tenths of a second: %v", during, after)

	events, err := audit.Events(t.Context(), opstore.New(rdb, opstore.Config{}))
	if err != nil {
		t.Fatalf("read the events: %v", err)
	}
	run.Events = events
	for i, v := range run.Check() {
		if i < 5 {
			t.Error(v)
		}
	}
}

func TestWorker_TheRateAndARetryAfterHoldForTheWholeFleet(t *testing.T) {
	// It is not parallel: it says how many calls there are in a time.
	const rate, operations, pause = 40, 100, time.Second
	_, redisURL := redistest.Shared(t)
	api, environ := sandboxAPI(t, redisURL)
	// In the midst of it, one answer asks to be left alone.
	if err := api.AddFault(sandbox.Fault{
		Skip: operations / 4, Count: 1, Do: sandbox.DoStatus, Status: 429, Headers: map[string]string{"Retry-After": "1"},
	}); err != nil {
		t.Fatalf("AddFault: %v", err)
	}
	environ = append(environ, "PAYBLR_RATE_LIMIT="+strconv.Itoa(rate))
	startWorker(t, environ)
	startWorker(t, environ)
	client := enqueuer(t, redisURL)
	var ids []string
	for n := range operations {
		acc, err := client.Accept(t.Context(), tasks.RefreshPINStatus, strconv.Itoa(100_000_000+n))
		if err != nil {
			t.Fatalf("accept: %v", err)
		}
		ids = append(ids, acc.ID)
	}
	for _, id := range ids {
		if op := finished(t, client, id); op.State != tasks.Succeeded {
			t.Errorf("%s is %s with %+v, want succeeded", id, op.State, op.Error)
		}
	}
	var calls []sandbox.Entry
	for _, c := range api.Ledger() {
		if c.Call != sandbox.CallToken {
			calls = append(calls, c)
		}
	}
	var asked time.Time
	for i, c := range calls {
		n := 0
		for _, later := range calls[i:] {
			if later.ReceivedAt.Sub(c.ReceivedAt) < time.Second {
				n++
			}
		}
		if n > rate {
			t.Errorf("%d calls within a second of call %d, want %d at most", n, i, rate)
		}
		if c.Status == 429 && c.AnsweredAt != nil {
			asked = *c.AnsweredAt
		}
	}
	if asked.IsZero() || len(calls) != operations+1 {
		t.Fatalf("%d calls, asked to pause at %s; want %d, one of them throttled", len(calls), asked, operations+1)
	}
	for _, c := range calls {
		// The answer has to reach the one worker, and word of it the other.
		if since := c.ReceivedAt.Sub(asked); since > 100*time.Millisecond && since < pause {
			t.Errorf("a call %s after the API asked to be left alone for %s", since, pause)
		}
	}
}

// sandboxAPI starts an API, and returns the environment of a worker that uses it.
func sandboxAPI(t testing.TB, redisURL string) (*sandbox.Sandbox, []string) {
	t.Helper()
	api, err := sandbox.New(sandbox.Config{})
	if err != nil {
		t.Fatalf("sandbox.New: %v", err)
	}
	if err := api.Start(t.Context()); err != nil {
		t.Fatalf("start the sandbox: %v", err)
	}
	t.Cleanup(func() {
		if err := api.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("stop the sandbox: %v", err)
		}
	})
	return api, []string{
		"REDIS_URL=" + redisURL, "PAYBLR_BASE_URL=" + api.URL(), "PAYBLR_TOKEN_URL=" + api.TokenURL(),
		"PAYBLR_CLIENT_ID=" + sandbox.DefaultClientID, "PAYBLR_CLIENT_SECRET=" + sandbox.DefaultClientSecret,
		"PAYBLR_SCOPE=" + sandbox.DefaultScope, "LOG_FORMAT=json",
	}
}

// finished waits for the end of an operation.
func finished(t testing.TB, client *enqueue.Client, id string) tasks.Operation {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	op, err := client.Wait(ctx, id)
	if err != nil {
		t.Fatal(fmt.Errorf("wait for %s: %w", id, err))
	}
	return op
}
