package monitor

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
)

func TestGuard_AsksForTheLoginEverywhereButLivez(t *testing.T) {
	t.Parallel()
	s := newServer(t, Config{User: "ops", Password: []byte("correct horse\n")})
	for _, path := range []string{"/", "/api/queues", "/queues/unblock", "/static/js/main.5adda2da.chunk.js", "/favicon.ico", "/nowhere"} {
		res := ask(t, s, http.MethodGet, path)
		wantStatus(t, "GET "+path, res, http.StatusUnauthorized)
		if got := res.Header.Get("WWW-Authenticate"); !strings.HasPrefix(got, "Basic ") {
			t.Errorf("GET %s: WWW-Authenticate %q, want Basic", path, got)
		}
		wantStatus(t, "POST "+path, ask(t, s, http.MethodPost, path), http.StatusUnauthorized)
	}
	wantStatus(t, "wrong password", ask(t, s, http.MethodGet, "/", withLogin("ops", "wrong")), http.StatusUnauthorized)
	wantStatus(t, "right password", ask(t, s, http.MethodGet, "/", withLogin("ops", "correct horse")), http.StatusOK)
	// With a login the name in the request is of no matter: no foreign page can carry the login.
	foreign := func(r *http.Request) { r.Host = "monitor.example" }
	wantStatus(t, "foreign name with a login", ask(t, s, http.MethodGet, "/", withLogin("ops", "correct horse"), foreign), http.StatusOK)

	res := ask(t, s, http.MethodGet, "/livez", foreign)
	wantStatus(t, "GET /livez", res, http.StatusOK)
	if got := bodyOf(t, res); got != "ok\n" {
		t.Errorf("GET /livez = %q, want %q", got, "ok\n")
	}
}

func TestGuard_FailedLoginIsLoggedWithoutWhatWasTyped(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	logger := logrus.New()
	logger.SetOutput(&out)
	s := newServer(t, Config{Password: []byte("correct horse"), Log: logrus.NewEntry(logger)})
	ask(t, s, http.MethodGet, "/", withLogin("typed-user", "typed-password"))
	if !strings.Contains(out.String(), "login refused") {
		t.Errorf("log = %q, want the refusal", out.String())
	}
	if strings.Contains(out.String(), "typed-") {
		t.Errorf("log = %q, want nothing of what was typed", out.String())
	}
}

func TestGuard_TooManyFailuresGet429(t *testing.T) {
	t.Parallel()
	s := newServer(t, Config{Password: []byte("correct horse")})
	for range failureBurst {
		ask(t, s, http.MethodGet, "/", withLogin("admin", "guess"))
	}
	res := ask(t, s, http.MethodGet, "/", withLogin("admin", "guess"))
	wantStatus(t, "one guess more", res, http.StatusTooManyRequests)
	if res.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After header")
	}
}

func TestGuard_WithoutAPasswordForeignNamesAreRefused(t *testing.T) {
	t.Parallel()
	s := newServer(t, Config{})
	for host, want := range map[string]int{
		"127.0.0.1:8081":      http.StatusOK,
		"localhost:8081":      http.StatusOK,
		"localhost":           http.StatusOK,
		"[::1]:8081":          http.StatusOK,
		"[::1]":               http.StatusOK,
		"rebound.example":     http.StatusForbidden,
		"127.0.0.1.example:1": http.StatusForbidden,
		"10.0.0.1:8081":       http.StatusForbidden,
		"":                    http.StatusForbidden,
	} {
		wantStatus(t, "Host "+host, ask(t, s, http.MethodGet, "/", func(r *http.Request) { r.Host = host }), want)
	}
}

func TestGuard_ReadOnlyRefusesEveryOtherMethod(t *testing.T) {
	t.Parallel()
	s := newServer(t, Config{})
	for _, path := range []string{"/", "/nowhere", "/livez", "/api/queues/unblock:pause", "/api/nowhere"} {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, "BREW"} {
			res := ask(t, s, method, path)
			wantStatus(t, method+" "+path, res, http.StatusMethodNotAllowed)
			if got := res.Header.Get("Allow"); got != "GET, HEAD" {
				t.Errorf("%s %s: Allow %q, want %q", method, path, got, "GET, HEAD")
			}
		}
	}
}

func TestGuard_ForeignOriginCannotAct(t *testing.T) {
	t.Parallel()
	s := newServer(t, Config{AllowActions: true, Password: []byte("correct horse")})
	login := withLogin("admin", "correct horse")
	const call = "/api/queues/unblock:pause"
	for name, header := range map[string]func(*http.Request){
		"foreign Origin":   withHeader("Origin", "https://evil.example"),
		"null Origin":      withHeader("Origin", "null"),
		"other port":       withHeader("Origin", "http://127.0.0.1:9999"),
		"Sec-Fetch-Site":   withHeader("Sec-Fetch-Site", "cross-site"),
		"same site, other": withHeader("Sec-Fetch-Site", "same-site"),
	} {
		wantStatus(t, name, ask(t, s, http.MethodPost, call, login, header), http.StatusForbidden)
		wantStatus(t, name+", DELETE", ask(t, s, http.MethodDelete, "/api/queues/unblock", login, header), http.StatusForbidden)
	}
	// It comes through to Redis, which is not there.
	wantStatus(t, "own origin", ask(t, s, http.MethodPost, call, login, withHeader("Origin", "http://127.0.0.1:8081")), http.StatusInternalServerError)
	wantStatus(t, "outside of the API", ask(t, s, http.MethodPost, "/nowhere", login), http.StatusMethodNotAllowed)
}

func TestGuard_EveryAnswerCarriesTheSecurityHeaders(t *testing.T) {
	t.Parallel()
	s := newServer(t, Config{})
	for _, path := range []string{"/", "/livez", "/api/nowhere", "/api/queues", "/nowhere", "/static/js/main.5adda2da.chunk.js"} {
		h := ask(t, s, http.MethodGet, path).Header
		for name, want := range map[string]string{
			"X-Content-Type-Options":       "nosniff",
			"X-Frame-Options":              "DENY",
			"Referrer-Policy":              "no-referrer",
			"Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := h.Get(name); got != want {
				t.Errorf("GET %s: %s %q, want %q", path, name, got, want)
			}
		}
		if got := h.Get("Content-Security-Policy"); !strings.HasPrefix(got, "default-src 'none'") || strings.Contains(got, "unsafe") {
			t.Errorf("GET %s: Content-Security-Policy %q, want default-src 'none' and nothing unsafe", path, got)
		}
		wantCache := "no-store"
		if strings.HasPrefix(path, "/static/") {
			wantCache = "private, max-age=31536000, immutable"
		}
		if got := h.Get("Cache-Control"); got != wantCache {
			t.Errorf("GET %s: Cache-Control %q, want %q", path, got, wantCache)
		}
	}
}
