package monitor

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/cardworker/cardworker/internal/redistest"
)

// outgoing keeps every answer of a handler, as it leaves for the browser.
type outgoing struct {
	next http.Handler

	mu      sync.Mutex
	answers map[string]string // by method and path
}

func (o *outgoing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body bytes.Buffer
	o.next.ServeHTTP(tee{w, &body}, r)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.answers[r.URL.Path] += body.String()
}

type tee struct {
	http.ResponseWriter
	also io.Writer
}

func (t tee) Write(b []byte) (int, error) { return io.MultiWriter(t.ResponseWriter, t.also).Write(b) }

func TestBrowser_OperatorSeesTheQueuesAndNoToken(t *testing.T) {
	t.Parallel()
	const password = "correct horse"
	sc := newScene(t, redistest.Start(t).Client(t))
	s := newServer(t, Config{Redis: sc.rdb, User: "ops", Password: []byte(password)})
	sent := &outgoing{next: s.Handler(), answers: make(map[string]string)}
	web := httptest.NewServer(sent)
	defer web.Close()

	res, err := web.Client().Get(web.URL)
	if err != nil {
		t.Fatalf("GET / without a login: %v", err)
	}
	wantStatus(t, "GET / without a login", res, http.StatusUnauthorized)
	_ = res.Body.Close()

	browser := startChromium(t, "ops", password)
	browser.open(t, web.URL)
	browser.awaitText(t, "unblock", "refresh", "confirm")
	wantNoCanary(t, "the list of queues", browser.html(t))
	if got := browser.seen().logins; got != 1 {
		t.Errorf("asked for a login %d times, want once", got)
	}

	run(t, browser, "go to the queue", chromedp.Click(chromedp.CSS(`a[href="/queues/unblock"]`)))
	browser.awaitText(t, "Archived")
	browser.open(t, web.URL+"/queues/unblock?status=archived")
	browser.awaitText(t, "pin:unblock", "card ******946, number [hidden]", `"public_token": "******946"`, referenced[0], referenced[1])
	wantNoCanary(t, "the archived tasks", browser.html(t))
	updateScreenshot(t, browser)

	for path, want := range map[string]string{
		"/queues/unblock/tasks/4f2a9c10-archived":  "status 404",
		"/queues/refresh/tasks/4f2a9c10-completed": "******uio",
		"/queues/unblock?status=retry":             "******34X",
		"/queues/unblock?status=active":            "pin:unblock",
		"/servers":                                 "unblock",
		"/schedulers":                              "@every 1h",
		"/redis":                                   "redis_version",
	} {
		browser.open(t, web.URL+path)
		browser.awaitText(t, want)
		wantNoCanary(t, path, browser.html(t))
	}

	seen := browser.seen()
	for _, problem := range seen.problems {
		t.Errorf("the console of the browser says: %s", problem)
	}
	for _, url := range seen.asked {
		if !strings.HasPrefix(url, web.URL+"/") && !strings.HasPrefix(url, "data:") {
			t.Errorf("the page asked another site: %s", url)
		}
	}
	sent.mu.Lock()
	defer sent.mu.Unlock()
	for _, path := range []string{"/api/queues", "/api/queues/unblock/archived_tasks", "/api/queues/unblock/tasks/4f2a9c10-archived", "/api/servers"} {
		if sent.answers[path] == "" {
			t.Errorf("the page never called %s; it called something else than this test knows", path)
		}
	}
	for path, answers := range sent.answers {
		wantNoCanary(t, "the answer to "+path, answers)
	}
}

// updateScreenshot writes the picture that the README shows, when it is asked to.
func updateScreenshot(t testing.TB, browser *chromium) {
	t.Helper()
	if os.Getenv("UPDATE_SCREENSHOT") != "1" {
		return
	}
	picture := run(t, browser, "take a screenshot", chromedp.CaptureScreenshot())
	if len(picture) > 300<<10 {
		t.Errorf("the screenshot has %d bytes, want at most 300 KiB", len(picture))
	}
	if err := os.WriteFile("../../docs/images/monitor.png", picture, 0o644); err != nil {
		t.Fatalf("write the screenshot: %v", err)
	}
}
