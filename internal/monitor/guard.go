package monitor

import (
	"net"
	"net/http"
	"strings"
)

// handler puts the parts together, outermost first.
func (s *Server) handler() http.Handler {
	inner := http.NewServeMux()
	inner.HandleFunc("/api/", s.api)
	inner.Handle("/", s.page)

	guarded := s.methods(inner)
	guarded = http.NewCrossOriginProtection().Handler(guarded)
	if s.login != nil {
		guarded = s.loggedIn(guarded)
	} else {
		guarded = loopbackHost(guarded)
	}

	outer := http.NewServeMux()
	outer.HandleFunc("GET /livez", livez)
	outer.Handle("/", guarded)
	return secure(outer)
}

// livez says that the process serves, to a container runtime that has no login. It tells nothing else.
func livez(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n"))
}

// secure sets the headers that every answer carries. The page and the files replace two of them.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		next.ServeHTTP(w, r)
	})
}

// loopbackHost stands where no login is asked for. It refuses requests under a foreign name: a web page
// elsewhere could have its own name resolve to this machine and would then be of the same origin.
func loopbackHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = strings.Trim(r.Host, "[]")
		}
		if !isLoopback(host) {
			http.Error(w, "without a password the monitor answers only to localhost and loopback addresses: set MONITOR_PASSWORD_FILE", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// loggedIn lets through who knows the password.
func (s *Server) loggedIn(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := s.login.check(r)
		switch v {
		case granted:
			next.ServeHTTP(w, r)
			return
		case throttled:
			w.Header().Set("Retry-After", "1")
			http.Error(w, "too many failed logins: wait a second", http.StatusTooManyRequests)
			return
		case refused:
			// Not the name: people type passwords into the wrong field.
			s.cfg.Log.WithField("remote", r.RemoteAddr).Warn("monitor: login refused")
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="cardworker monitor", charset="UTF-8"`)
		http.Error(w, "a login is required: MONITOR_USER and the password in MONITOR_PASSWORD_FILE", http.StatusUnauthorized)
	})
}

// methods lets reading through everywhere and the rest to the API only, if actions are allowed at all.
func (s *Server) methods(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			next.ServeHTTP(w, r)
			return
		case http.MethodPost, http.MethodDelete:
			if s.cfg.AllowActions && strings.HasPrefix(r.URL.Path, "/api/") {
				next.ServeHTTP(w, r)
				return
			}
		}
		w.Header().Set("Allow", "GET, HEAD")
		msg := "the monitor only shows; start it with --allow-actions to change queues"
		if s.cfg.AllowActions {
			msg = "this address only shows"
		}
		http.Error(w, msg, http.StatusMethodNotAllowed)
	})
}
