package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/internal/sandbox"
	"github.com/cardworker/cardworker/tasks"
)

// Cards of the sandbox.
const (
	cardBlocked  = "103169946"
	cardOther    = "103169947"
	cardFine     = "200000001"
	cardUnknown  = "404000001"
	cardForbids  = "403000001"
	cardNumber   = "4111111111111111"
	cardTooLong  = "1031699461"
	missingID    = "cw05-01KAJ4S7Q0Z5M2E8H6N3T9RXVB"
	shortTimeout = "300ms"
)

// startSandbox serves the sandbox and returns the environment of a worker that uses it, and an own Redis
// database.
func startSandbox(t testing.TB, cfg sandbox.Config) (box *sandbox.Sandbox, environ []string) {
	t.Helper()
	box, err := sandbox.New(cfg)
	if err != nil {
		t.Fatalf("make the sandbox: %v", err)
	}
	if err := box.Start(t.Context()); err != nil {
		t.Fatalf("start the sandbox: %v", err)
	}
	t.Cleanup(func() {
		if err := box.Stop(context.Background()); err != nil {
			t.Errorf("stop the sandbox: %v", err)
		}
	})
	_, redisURL := redistest.Shared(t)
	return box, []string{
		"REDIS_URL=" + redisURL, "PAYBLR_BASE_URL=" + box.URL(), "PAYBLR_TOKEN_URL=" + box.TokenURL(),
		"PAYBLR_CLIENT_ID=" + sandbox.DefaultClientID, "PAYBLR_CLIENT_SECRET=" + sandbox.DefaultClientSecret,
		"PAYBLR_SCOPE=" + sandbox.DefaultScope,
	}
}

// expect fails the test unless the command ended so. With code 2 there has to be nothing on stdout.
func expect(t testing.TB, got result, code int, stderr ...string) {
	t.Helper()
	if got.code != code {
		t.Errorf("exit code %d, want %d: %s", got.code, code, got)
	}
	if code == exitRefused && got.stdout != "" {
		t.Errorf("a refusal is on stdout: %s", got)
	}
	for _, want := range stderr {
		if !strings.Contains(got.stderr, want) {
			t.Errorf("stderr lacks %q: %s", want, got)
		}
	}
	if len(stderr) == 0 && got.stderr != "" {
		t.Errorf("stderr says %q, want nothing", got.stderr)
	}
	clean(t, "the output", got.stdout+got.stderr, cardBlocked, cardOther, cardFine, cardUnknown, cardForbids, cardNumber)
}

func TestUnblock_WithoutAWorkerIsAcceptedJoinedAndWaitedForInVain(t *testing.T) {
	t.Parallel()
	_, redisURL := redistest.Shared(t)
	environ := []string{"REDIS_URL=" + redisURL}

	first := cli(t, environ, "unblock", "pin", cardBlocked, "-o", "json", "--expires-in", "90s")
	expect(t, first, exitOK)
	op := operation(t, one(t, "stdout", first.stdout))
	if op.State != tasks.Accepted || op.Done || op.Attempts != 0 || op.Status != nil || op.ExpiresAt.Sub(op.CreatedAt) != 90*time.Second {
		t.Errorf("operation = %+v, want an accepted one that expires after 90s", op)
	}

	second := cli(t, environ, "unblock", "pin", cardBlocked, "-o", "json")
	expect(t, second, exitOK, "joined an operation")
	if again := operation(t, one(t, "stdout", second.stdout), "joined"); again.ID != op.ID {
		t.Errorf("the second request got %s, want to join %s", again.ID, op.ID)
	}
	if !strings.Contains(second.stdout, `"joined":true`) {
		t.Errorf("no \"joined\":true in %s", second.stdout)
	}

	waited := cli(t, environ, "unblock", "pin", cardBlocked, "-o", "json", "--wait", "--timeout", shortTimeout)
	expect(t, waited, exitWaiting, "not done after "+shortTimeout, "no worker has begun it yet", "cardworker operation watch "+op.ID)
	if now := operation(t, one(t, "stdout", waited.stdout), "joined"); now.ID != op.ID || now.Done {
		t.Errorf("operation after the timeout = %+v, want %s, not done", now, op.ID)
	}

	watched := cli(t, environ, "operation", "watch", op.ID, "-o", "json", "--timeout", shortTimeout)
	expect(t, watched, exitWaiting, "not done after "+shortTimeout)
	if now := operation(t, one(t, "stdout", watched.stdout)); now.ID != op.ID {
		t.Errorf("watch shows %s, want %s", now.ID, op.ID)
	}

	read := cli(t, environ, "operation", "get", op.ID, "-o", "json")
	expect(t, read, exitOK)
	if now := operation(t, one(t, "stdout", read.stdout)); now != op {
		t.Errorf("get = %+v, want it as it was accepted: %+v", now, op)
	}

	text := cli(t, environ, "operation", "get", op.ID)
	expect(t, text, exitOK)
	if want := "accepted   PIN of card ******946\n           " + op.ID + "  follow it with: cardworker operation watch " + op.ID + "\n"; text.stdout != want {
		t.Errorf("text = %q, want %q", text.stdout, want)
	}
}

func TestUnblock_IdempotencyKeyNamesOneOperation(t *testing.T) {
	t.Parallel()
	_, environ := startSandbox(t, sandbox.Config{})
	startWorker(t, environ)
	args := []string{"unblock", "cvv", cardBlocked, "--idempotency-key", "tap-4711", "-o", "json"}

	first := cli(t, environ, append(args, "--wait")...)
	expect(t, first, exitOK)
	op := operation(t, one(t, "stdout", first.stdout))
	if op.State != tasks.Succeeded {
		t.Errorf("operation = %+v, want it succeeded", op)
	}
	for _, again := range [][]string{args, append(args, "--wait")} {
		got := cli(t, environ, again...)
		expect(t, got, exitOK)
		if got.stdout != first.stdout {
			t.Errorf("%v:\n%swant what the first request got:\n%s", again, got.stdout, first.stdout)
		}
	}
	expect(t, cli(t, environ, "unblock", "pin", cardBlocked, "--idempotency-key", "tap-4711", "-o", "json"), exitRefused, "idempotency")
	expect(t, cli(t, environ, "unblock", "cvv", cardOther, "--idempotency-key", "tap-4711", "-o", "json"), exitRefused, "idempotency")

	// A key finds a failure too, and its exit code.
	failed := cli(t, environ, "unblock", "pin", cardUnknown, "--idempotency-key", "tap-4712", "--wait", "-o", "json")
	expect(t, failed, exitFailed)
	again := cli(t, environ, "unblock", "pin", cardUnknown, "--idempotency-key", "tap-4712", "-o", "json")
	expect(t, again, exitFailed)
	if again.stdout != failed.stdout {
		t.Errorf("the second request got\n%swant\n%s", again.stdout, failed.stdout)
	}
}

func TestUnblock_OutcomesAndTheirExitCodes(t *testing.T) {
	t.Parallel()
	_, environ := startSandbox(t, sandbox.Config{})
	startWorker(t, environ)
	for name, tc := range map[string]struct {
		card, credential string
		code             int
		fails            tasks.Code
		text             string
	}{
		"PIN":       {cardBlocked, "pin", exitOK, "", "unblocked  PIN of card ******946, confirmed by reading it back, 3 tries left\n"},
		"CVV":       {cardOther, "cvv", exitOK, "", "unblocked  CVV of card ******947, confirmed by reading it back"},
		"unknown":   {cardUnknown, "pin", exitFailed, tasks.CodeCardNotFound, "failed     PIN of card ******001: card_not_found: "},
		"forbidden": {cardForbids, "cvv", exitFailed, tasks.CodeNotAllowed, "failed     CVV of card ******001: not_allowed: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := cli(t, environ, "unblock", tc.credential, tc.card, "--wait", "-o", "json")
			expect(t, got, tc.code)
			op := operation(t, one(t, "stdout", got.stdout))
			if !op.Done || (op.Error == nil) != (tc.fails == "") || op.Error != nil && op.Error.Code != tc.fails {
				t.Errorf("operation = %+v, error %+v, want done with code %q", op, op.Error, tc.fails)
			}
			text := cli(t, environ, "operation", "get", op.ID)
			expect(t, text, tc.code)
			if !strings.HasPrefix(text.stdout, tc.text) || !strings.Contains(text.stdout, op.ID) || !strings.Contains(text.stdout, "1 attempt in ") {
				t.Errorf("text = %q, want %q, the id and the attempts", text.stdout, tc.text)
			}
		})
	}
}

func TestUnblock_TheLimitOfACardRefuses(t *testing.T) {
	t.Parallel()
	_, environ := startSandbox(t, sandbox.Config{})
	environ = append(environ, "UNBLOCK_LIMIT=2")
	startWorker(t, environ)
	for range 2 {
		expect(t, cli(t, environ, "unblock", "pin", cardBlocked, "--wait", "-o", "json"), exitOK)
	}
	got := cli(t, environ, "unblock", "pin", cardBlocked, "--wait", "-o", "json")
	expect(t, got, exitRefused, "unblock limit reached", "2 unblocks", "24 hours")
	one(t, "stderr", got.stderr)
	expect(t, cli(t, environ, "unblock", "cvv", cardBlocked, "--wait", "-o", "json"), exitOK)
	expect(t, cli(t, append(environ, "UNBLOCK_LIMIT=0"), "unblock", "pin", cardBlocked, "--wait", "-o", "json"), exitOK)
}

func TestUnblock_RefusedAtAdmissionLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	rdb, redisURL := redistest.Shared(t)
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{""}, "invalid public token: it is empty"},
		{[]string{"10316994!"}, "invalid public token"},
		{[]string{cardTooLong}, "at most 9"},
		{[]string{cardNumber}, "looks like a card number"},
		{[]string{"4111 1111 1111 1111"}, "looks like a card number"},
		{[]string{cardBlocked, "--reason", strings.Repeat("x", 801)}, "invalid argument"},
		{[]string{cardBlocked, "--updated-by", strings.Repeat("x", 101)}, "invalid argument"},
		{[]string{cardBlocked, "--expires-in", "999ms"}, "invalid argument: the expiry is 999ms, it must lie between 1s and 24h"},
		{[]string{cardBlocked, "--expires-in", "25h"}, "invalid argument"},
		{[]string{cardBlocked, "--idempotency-key", ""}, "invalid argument"},
		{[]string{cardBlocked, "--idempotency-key", strings.Repeat("k", 256)}, "invalid argument"},
		{[]string{cardBlocked, "--idempotency-key", "tab\there"}, "invalid argument"},
	} {
		got := cli(t, []string{"REDIS_URL=" + redisURL}, append([]string{"unblock", "pin", "-o", "json"}, tc.args...)...)
		expect(t, got, exitRefused, tc.want)
		one(t, "stderr", got.stderr)
		clean(t, "stderr", got.stderr, "1111", cardTooLong, "xxxxxxxxxx", "kkkkkkkkkk")
	}
	if n, err := rdb.DBSize(t.Context()).Result(); err != nil || n != 0 {
		t.Errorf("Redis has %d keys (%v), want none", n, err)
	}
}

func TestUnblock_InterruptedWaitSaysHowToGoOn(t *testing.T) {
	t.Parallel()
	_, redisURL := redistest.Shared(t)
	environ := []string{"REDIS_URL=" + redisURL}
	op := operation(t, one(t, "stdout", cli(t, environ, "unblock", "pin", cardBlocked, "-o", "json").stdout))

	ctx, interrupt := context.WithCancel(t.Context())
	stdout, stderr := newOutput(), newOutput()
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, program{args: []string{"unblock", "pin", cardBlocked, "--wait", "-o", "json"}, environ: environ, stdout: stdout, stderr: stderr})
	}()
	stderr.await(t, "joined") // it is accepted, and waits
	interrupt()
	if code := <-ended; code != exitError || !strings.Contains(stderr.String(), "interrupted; the operation goes on") || !strings.Contains(stderr.String(), op.ID) {
		t.Errorf("exit code %d, stderr %q, want 1 and how to follow %s", code, stderr, op.ID)
	}
	if now := operation(t, one(t, "stdout", stdout.String()), "joined"); now.ID != op.ID {
		t.Errorf("stdout shows %s, want %s", now.ID, op.ID)
	}
}
