package monitor

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// chromium is a browser without a window that knows the login, and what it has seen.
type chromium struct {
	ctx context.Context

	mu       sync.Mutex
	asked    []string // the URLs that the pages asked for
	problems []string // what the browser holds against the pages
	logins   int
	stopped  bool
}

// startChromium starts a browser that goes with the test. It answers a request for a login with the
// given one, as a person would.
func startChromium(t testing.TB, user, password string) *chromium {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromiumPath(t)),
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.WindowSize(1360, 960),
		chromedp.WSURLReadTimeout(time.Minute),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium refuses to sandbox root
	}
	c := &chromium{}
	paused := make(chan any, 1024)
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	c.ctx, cancel = chromedp.NewContext(ctx, chromedp.WithListener(func(event any) { c.see(event, paused) }))
	t.Cleanup(cancel)
	if err := chromedp.Do(c.ctx); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}

	done := make(chan struct{})
	go func() {
		defer close(done)
		for event := range paused {
			c.answer(event, user, password)
		}
	}()
	t.Cleanup(func() {
		if err := chromedp.Cancel(c.ctx); err != nil {
			t.Errorf("stop Chromium: %v", err)
		}
		c.mu.Lock()
		c.stopped = true
		c.mu.Unlock()
		close(paused)
		<-done
	})

	if _, err := chromedp.Call(c.ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatalf("watch the network: %v", err)
	}
	yes := true
	if _, err := chromedp.Call(c.ctx, fetch.Enable, fetch.EnableParams{HandleAuthRequests: &yes}); err != nil {
		t.Fatalf("handle logins: %v", err)
	}
	return c
}

func chromiumPath(t testing.TB) string {
	t.Helper()
	names := []string{"chromium", "chromium-browser", "google-chrome"}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatalf("none of %s is installed, and the console cannot be tested without a browser: run `make deps`", strings.Join(names, ", "))
	return ""
}

// see runs in the goroutine that delivers the events, which must not wait for the browser: what is to
// be answered goes to paused.
func (c *chromium) see(event any, paused chan<- any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		c.asked = append(c.asked, e.Request.URL)
	case *log.EventEntryAdded:
		c.problems = append(c.problems, string(e.Entry.Level)+": "+e.Entry.Text+" "+e.Entry.URL)
	case *runtime.EventExceptionThrown:
		c.problems = append(c.problems, "exception: "+e.ExceptionDetails.Text)
	case *fetch.EventAuthRequired:
		c.logins++
		if !c.stopped {
			paused <- e
		}
	case *fetch.EventRequestPaused:
		if !c.stopped {
			paused <- e
		}
	}
}

// answer lets a request go on, with the login where one is asked for. It ignores errors: a page that
// is being left has no use for the answer, and a page that does not come fails the test by itself.
func (c *chromium) answer(event any, user, password string) {
	switch e := event.(type) {
	case *fetch.EventRequestPaused:
		_, _ = chromedp.Call(c.ctx, fetch.ContinueRequest, fetch.ContinueRequestParams{RequestID: e.RequestID})
	case *fetch.EventAuthRequired:
		_, _ = chromedp.Call(c.ctx, fetch.ContinueWithAuth, fetch.ContinueWithAuthParams{
			RequestID: e.RequestID,
			AuthChallengeResponse: &fetch.AuthChallengeResponse{
				Response: fetch.AuthChallengeResponseResponseProvideCredentials,
				Username: user,
				Password: password,
			},
		})
	}
}

// run runs the action and fails the test when it does not come to an end.
func run[T any](t testing.TB, c *chromium, what string, action chromedp.Action[T]) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, 45*time.Second)
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	if err != nil {
		t.Fatalf("%s: %v; the browser says %q", what, err, c.seen().problems)
	}
	return value
}

// open goes to the address and returns once the page has loaded.
func (c *chromium) open(t testing.TB, url string) {
	t.Helper()
	run(t, c, "open "+url, chromedp.Navigate(url))
}

// html returns the whole document as it is rendered now.
func (c *chromium) html(t testing.TB) string {
	t.Helper()
	return run(t, c, "read the page", chromedp.Evaluate[string](`document.documentElement.outerHTML`))
}

// awaitText returns once the visible text of the page has all of the given.
func (c *chromium) awaitText(t testing.TB, texts ...string) {
	t.Helper()
	for _, text := range texts {
		run(t, c, "wait for "+text, chromedp.PollFunction[bool](`text => document.body.innerText.includes(text)`, chromedp.WithPollingArgs(text)))
	}
}

type sightings struct {
	asked, problems []string
	logins          int
}

func (c *chromium) seen() sightings {
	c.mu.Lock()
	defer c.mu.Unlock()
	return sightings{append([]string(nil), c.asked...), append([]string(nil), c.problems...), c.logins}
}
