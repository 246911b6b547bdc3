package monitor

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

func TestPage_FilesHaveTheirTypes(t *testing.T) {
	t.Parallel()
	s := newServer(t, Config{})
	for _, file := range [][2]string{
		{"/", "text/html; charset=utf-8"},
		{"/queues/unblock/tasks/a.js", "text/html; charset=utf-8"},
		{"/static/js/main.5adda2da.chunk.js", "text/javascript; charset=utf-8"},
		{"/static/media/logo-color.c2b0c1f3.svg", "image/svg+xml"},
		{"/favicon.ico", "image/vnd.microsoft.icon"},
		{"/favicon-32x32.png", "image/png"},
		{"/static/js/2.83624df2.chunk.js.LICENSE.txt", "text/plain; charset=utf-8"},
	} {
		path, want := file[0], file[1]
		res := ask(t, s, http.MethodGet, path)
		wantStatus(t, "GET "+path, res, http.StatusOK)
		if got := res.Header.Get("Content-Type"); got != want {
			t.Errorf("GET %s: Content-Type %q, want %q", path, got, want)
		}
	}
}

func TestPage_UnknownPathsAndSourceMapsAreNotFound(t *testing.T) {
	t.Parallel()
	s := newServer(t, Config{})
	for _, path := range []string{
		"/nowhere", "/nowhere.js", "/static/", "/static/js/nowhere.js", "/index.html", "/manifest.json", "/asset-manifest.json", "/q/metrics",
		"/static/js/main.5adda2da.chunk.js.map", "/static/js/2.83624df2.chunk.js.map", "/api/nowhere", "/api/", "/api/metrics",
	} {
		res := ask(t, s, http.MethodGet, path)
		wantStatus(t, "GET "+path, res, http.StatusNotFound)
		if got := res.Header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("GET %s: Cache-Control %q, want no-store", path, got)
		}
	}
}

func TestPage_AsksNoOtherSite(t *testing.T) {
	t.Parallel()
	html := bodyOf(t, ask(t, newServer(t, Config{}), http.MethodGet, "/"))
	if foreign := regexp.MustCompile(`(?:href|src)="(?:https?:)?//[^"]*`).FindString(html); foreign != "" {
		t.Errorf("the page asks for %s", foreign)
	}
	if !strings.Contains(html, `window.FLAG_READ_ONLY="true"`) {
		t.Error("the page does not know that it is read-only, and would show buttons that do nothing")
	}
}

func TestPage_PolicyPermitsItsScriptsAndStylesOnly(t *testing.T) {
	t.Parallel()
	s := newServer(t, Config{})
	first, second := ask(t, s, http.MethodGet, "/"), ask(t, s, http.MethodGet, "/")
	policy, html := first.Header.Get("Content-Security-Policy"), bodyOf(t, first)

	scripts := regexp.MustCompile(`(?s)<script>(.*?)</script>`).FindAllStringSubmatch(html, -1)
	if len(scripts) == 0 {
		t.Fatal("no inline script in the page")
	}
	for _, script := range scripts {
		sum := sha256.Sum256([]byte(script[1]))
		if want := "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(policy, want) {
			t.Errorf("policy %q does not permit the inline script %.40s…", policy, script[1])
		}
	}
	nonce := regexp.MustCompile(`<meta property="csp-nonce" content="([^"]{20,})"/>`).FindStringSubmatch(html)
	if nonce == nil || !strings.Contains(policy, "style-src 'nonce-"+nonce[1]+"'") {
		t.Errorf("policy %q does not permit the nonce %v of the page", policy, nonce)
	}
	if policy == second.Header.Get("Content-Security-Policy") {
		t.Error("two answers have the same nonce")
	}
}

func TestPage_HeadIsAnswered(t *testing.T) {
	t.Parallel()
	s := newServer(t, Config{})
	wantStatus(t, "HEAD /", ask(t, s, http.MethodHead, "/"), http.StatusOK)
	wantStatus(t, "HEAD /nowhere", ask(t, s, http.MethodHead, "/nowhere"), http.StatusNotFound)
}
