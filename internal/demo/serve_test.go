package demo

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/internal/redisconn"
	"github.com/cardworker/cardworker/tasks"
)

// TestRun_ServeStaysUpForASecondTerminal does what the printed lines invite to.
func TestRun_ServeStaysUpForASecondTerminal(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var logged screen
	invited := make(chan string, 1) // what was logged before the invitation
	out := screen{needle: "magic-cards\n", found: func() { invited <- logged.String() }}
	log := logrus.New()
	log.SetOutput(&logged)
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, Config{
			Out: &out, Serve: true, SandboxAddr: freePort, MonitorAddr: freePort, RedisAddr: freePort,
			Log: log, Program: "./cw",
		})
	}()
	if early := await(t, invited, "the invitation"); early != "" {
		t.Errorf("logged during the story: %s", early)
	}
	text := out.String()
	checkWidth(t, text, narrowest)
	redisURL := find(t, text, `export REDIS_URL=(redis://127\.0\.0\.1:\d+/0)\n`)
	ui := find(t, text, `Queues\s+(http://127\.0\.0\.1:\d+/) `)
	made := find(t, text, `\./cw operation get (cw\d\d-\S+)\n`)
	card := find(t, text, `\./cw unblock pin (\d+) --wait\n`)
	find(t, text, `\./cw refresh cvv (`+card+`) --wait\n`)
	unknown := find(t, text, `\./cw unblock pin (404\d+) --wait\n`)

	b := connect(t, redisURL)
	wantOutcome(t, b, card, "succeeded")
	wantOutcome(t, b, unknown, "card_not_found")
	if op, err := b.Get(ctx, made); err != nil || op.State != tasks.Succeeded {
		t.Errorf("Get of the operation in the line to paste = %+v, %v, want one that succeeded", op, err)
	}
	wantPage(t, ui)

	cancel()
	if err := await(t, ended, "the demo to stop"); err != nil {
		t.Errorf("Run = %v, want nil when its context ends while it serves", err)
	}
	for _, addr := range []string{redisURL, ui} {
		if u, err := url.Parse(addr); err != nil || listening(t, u.Host) {
			t.Errorf("%s is still up after the end (%v)", addr, err)
		}
	}
	for _, want := range []string{"operation ended", "component=sandbox"} {
		if !strings.Contains(logged.String(), want) {
			t.Errorf("the log lacks %q", want)
		}
	}
	if strings.Contains(logged.String(), card) {
		t.Error("the log holds a whole public token")
	}
}

// find returns what the one group of the pattern matches in the text.
func find(t testing.TB, text, pattern string) string {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("the output has nothing like %s:\n%s", pattern, text)
	}
	return m[1]
}

func connect(t testing.TB, redisURL string) *enqueue.Client {
	t.Helper()
	conn, err := redisconn.Open(redisURL, redisconn.Options{})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	c, err := enqueue.New(conn.Client, enqueue.Config{})
	if err != nil {
		t.Fatalf("enqueue.New: %v", err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close the client: %v", err)
		}
		if err := conn.Close(); err != nil {
			t.Errorf("close the connection: %v", err)
		}
	})
	return c
}

func wantOutcome(t testing.TB, c *enqueue.Client, card, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	acc, err := c.UnblockPIN(ctx, card)
	if err != nil {
		t.Fatalf("UnblockPIN: %v", err)
	}
	op, err := c.Wait(ctx, acc.ID)
	if err != nil || outcome(op) != want {
		t.Errorf("unblocking %s ends with %s, %v, want %s", op.PublicToken, outcome(op), err, want)
	}
}

func wantPage(t testing.TB, addr string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, addr, nil)
	if err != nil {
		t.Fatalf("request: %v", err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatalf("get the console: %v", err)
	}
	if err := res.Body.Close(); err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("the console answers %d (%v), want 200", res.StatusCode, err)
	}
}

func listening(t testing.TB, addr string) bool {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		return false
	}
	_ = c.Close() // That it could be opened is all that counts.
	return true
}
