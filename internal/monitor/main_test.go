package monitor

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// unreachable returns a client of a Redis that is not there, for tests that must not need one.
func unreachable(t testing.TB) redis.UniversalClient {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Errorf("the monitor closed the caller's client: %v", err)
		}
	})
	return client
}

func newServer(t testing.TB, cfg Config) *Server {
	t.Helper()
	if cfg.Redis == nil {
		cfg.Redis = unreachable(t)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return s
}

// ask sends a request as a browser on this machine would; edit may change it.
func ask(t testing.TB, s *Server, method, path string, edit ...func(*http.Request)) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, "http://127.0.0.1:8081"+path, nil)
	for _, f := range edit {
		f(r)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w.Result()
}

func bodyOf(t testing.TB, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("read the body: %v", err)
	}
	return string(b)
}

func wantStatus(t testing.TB, what string, res *http.Response, want int) {
	t.Helper()
	if res.StatusCode != want {
		t.Errorf("%s: status %d, want %d: %.200s", what, res.StatusCode, want, bodyOf(t, res))
	}
}

func withLogin(user, password string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(user, password) }
}

func withHeader(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}
