package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/internal/sandbox"
)

func TestSandbox_WhatItPrintsMakesAWorkerUseIt(t *testing.T) {
	t.Parallel()
	_, redisURL := redistest.Shared(t)
	for name, tc := range map[string]struct{ args, secret string }{
		"as it is":             {"", "export PAYBLR_CLIENT_SECRET=" + sandbox.DefaultClientSecret},
		"a secret from a file": {"--client-secret-file " + writeFile(t, "secret", "canary7f3a\n"), "export PAYBLR_CLIENT_SECRET_FILE="},
	} {
		box := serve(t, nil, append([]string{"sandbox", "--addr", "127.0.0.1:0"}, strings.Fields(tc.args)...)...)
		box.stderr.await(t, "export PAYBLR_SCOPE=")
		environ := []string{"REDIS_URL=" + redisURL}
		for line := range strings.Lines(box.stderr.String()) {
			if v, ok := strings.CutPrefix(strings.TrimSpace(line), "export "); ok {
				environ = append(environ, v)
			}
		}
		if !strings.Contains(box.stderr.String(), tc.secret) {
			t.Errorf("%s: %q lacks %q", name, box.stderr, tc.secret)
		}
		clean(t, "what it prints", box.stderr.String(), "canary7f3a")

		worker := startWorker(t, environ)
		expect(t, cli(t, environ, "unblock", "pin", cardBlocked, "--wait", "-o", "json"), exitOK)
		worker.stop(t)
		if box.stdout.String() != "" {
			t.Errorf("%s: stdout is %q, want nothing", name, box.stdout)
		}
		clean(t, "its log", box.stderr.String(), cardBlocked)
	}
}

func TestSandbox_CardsListsEveryRange(t *testing.T) {
	t.Parallel()
	got := cli(t, nil, "sandbox", "cards")
	if got.code != exitOK || got.stderr != "" {
		t.Fatalf("sandbox cards: %s", got)
	}
	for _, c := range sandbox.MagicCards() {
		if !strings.Contains(got.stdout, c.Range) || !strings.Contains(got.stdout, c.Description) {
			t.Errorf("no line for %s (%s)", c.Range, c.Description)
		}
	}
}

func TestSandbox_AddressThatIsTakenIsAnError(t *testing.T) {
	t.Parallel()
	taken := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(taken.Close)
	got := cli(t, nil, "sandbox", "--addr", strings.TrimPrefix(taken.URL, "http://"))
	if got.code != exitError || got.stdout != "" {
		t.Errorf("sandbox: want exit code 1: %s", got)
	}
	one(t, "stderr", got.stderr)
	got = cli(t, nil, "sandbox", "--client-secret-file", "/does/not/canary7f3a")
	if got.code != exitError || !strings.Contains(one(t, "stderr", got.stderr), "--client-secret-file names a file that cannot be used: no such file") {
		t.Errorf("sandbox: want exit code 1 and the flag named: %s", got)
	}
	clean(t, "stderr", got.stderr, "canary7f3a")
}

func TestMonitor_ServesUntilItIsStopped(t *testing.T) {
	t.Parallel()
	_, redisURL := redistest.Shared(t)
	for name, tc := range map[string]struct {
		environ []string
		status  int
	}{
		"on loopback without a password": {nil, http.StatusOK},
		"with a password":                {[]string{"MONITOR_PASSWORD_FILE=" + writeFile(t, "password", "canary7f3a\n")}, http.StatusUnauthorized},
	} {
		m := serve(t, append([]string{"REDIS_URL=" + redisURL, "MONITOR_HTTP_ADDR=127.0.0.1:0"}, tc.environ...), "monitor")
		url := logged(t, m.stderr.await(t, "monitor is served"), "url")
		if status, _ := get(t, url); status != tc.status {
			t.Errorf("%s: %s answers %d, want %d", name, url, status, tc.status)
		}
		if code := m.stop(t); code != exitOK {
			t.Errorf("%s: the monitor ended with %d, want 0", name, code)
		}
		clean(t, "its log", m.stderr.String(), "canary7f3a")
	}
}

func TestHealth_TellsByItsExitCode(t *testing.T) {
	t.Parallel()
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode("draining") // Its reader is the test.
	}))
	t.Cleanup(server.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	expect(t, cli(t, nil, "health", server.URL), exitOK)
	status = http.StatusServiceUnavailable
	expect(t, cli(t, nil, "health", server.URL), exitError, "503", "draining")
	server.Close()
	expect(t, cli(t, nil, "health", server.URL), exitError, "refused")
}
