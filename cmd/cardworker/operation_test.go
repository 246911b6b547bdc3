package main

import (
	"strings"
	"testing"

	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/internal/sandbox"
	"github.com/cardworker/cardworker/tasks"
)

func TestOperation_OneThatDoesNotExistIsAnError(t *testing.T) {
	t.Parallel()
	_, redisURL := redistest.Shared(t)
	for _, command := range []string{"get", "watch", "retry"} {
		got := cli(t, []string{"REDIS_URL=" + redisURL}, "operation", command, missingID, "-o", "json")
		expect(t, got, exitError, "no such operation", missingID)
		one(t, "stderr", got.stderr)
		if got.stdout != "" {
			t.Errorf("operation %s: stdout is %q, want nothing", command, got.stdout)
		}
	}
}

func TestOperationWatch_PrintsALineForEachChangeAndEndsWithTheOperation(t *testing.T) {
	t.Parallel()
	_, environ := startSandbox(t, sandbox.Config{})
	op := operation(t, one(t, "stdout", cli(t, environ, "unblock", "pin", cardBlocked, "-o", "json").stdout))
	watch := make(chan result, 1)
	go func() { watch <- cli(t, environ, "operation", "watch", op.ID, "-o", "json") }()
	startWorker(t, environ)

	got := <-watch
	expect(t, got, exitOK)
	var last tasks.Operation
	for line := range strings.Lines(got.stdout) {
		now := operation(t, line)
		if now.ID != op.ID || last.Done || now.UpdatedAt.Before(last.UpdatedAt) {
			t.Errorf("%+v follows %+v", now, last)
		}
		last = now
	}
	if last.State != tasks.Succeeded {
		t.Errorf("the last line is %+v, want it succeeded", last)
	}
	expect(t, cli(t, environ, "operation", "watch", op.ID), exitOK)
}

func TestOperationRetry_GivesAFailedOneAnotherLife(t *testing.T) {
	t.Parallel()
	box, environ := startSandbox(t, sandbox.Config{})
	worker := startWorker(t, environ)
	failed := cli(t, environ, "unblock", "pin", cardUnknown, "--wait", "-o", "json")
	expect(t, failed, exitFailed)
	op := operation(t, one(t, "stdout", failed.stdout))

	again := cli(t, environ, "operation", "retry", op.ID, "--wait", "-o", "json")
	expect(t, again, exitFailed)
	if now := operation(t, one(t, "stdout", again.stdout)); now.ID != op.ID || now.State != tasks.Failed || !now.UpdatedAt.After(op.UpdatedAt) {
		t.Errorf("retried = %+v, want the same operation, failed again", now)
	}

	// The card comes into being; now it works.
	if err := box.SetCard(sandbox.Card{PublicToken: cardUnknown, PIN: sandbox.Credential{Blocked: true}, CVV: sandbox.Credential{RemainingTries: 3}}); err != nil {
		t.Fatalf("set the card: %v", err)
	}
	good := cli(t, environ, "operation", "retry", op.ID, "--wait")
	expect(t, good, exitOK)
	if !strings.HasPrefix(good.stdout, "unblocked  PIN of card ******001") {
		t.Errorf("text = %q, want it unblocked", good.stdout)
	}
	expect(t, cli(t, environ, "operation", "retry", op.ID, "-o", "json"), exitRefused, "only a failed operation can be retried")

	// Without a worker: accepted, then busy.
	first := operation(t, one(t, "stdout", cli(t, environ, "unblock", "cvv", "404000002", "--wait", "-o", "json").stdout))
	if code := worker.stop(t); code != exitOK {
		t.Fatalf("the worker ended with %d", code)
	}
	second := operation(t, one(t, "stdout", cli(t, environ, "unblock", "cvv", "404000002", "-o", "json").stdout))
	expect(t, cli(t, environ, "operation", "retry", first.ID, "-o", "json"), exitRefused, "busy", second.ID)
	expect(t, cli(t, environ, "operation", "retry", second.ID, "-o", "json"), exitRefused, "only a failed operation can be retried")
}
