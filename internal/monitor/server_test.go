package monitor

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cardworker/cardworker/internal/redistest"
)

func TestServer_ServesUntilStoppedAndLeavesTheClientOpen(t *testing.T) {
	t.Parallel()
	rdb, _ := redistest.Shared(t)
	s := newServer(t, Config{Redis: rdb, Addr: "127.0.0.1:0"})
	if err := s.Start(t.Context()); err != nil {
		t.Fatalf("Start: %v", err)
	}
	if strings.HasSuffix(s.Addr(), ":0") || s.URL() != "http://"+s.Addr()+"/" {
		t.Errorf("Addr %q, URL %q: want the port that was chosen", s.Addr(), s.URL())
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	for _, path := range []string{"livez", "api/queues", ""} {
		res, err := client.Get(s.URL() + path)
		if err != nil {
			t.Fatalf("GET %s: %v", path, err)
		}
		wantStatus(t, "GET /"+path, res, http.StatusOK)
		_ = res.Body.Close()
	}
	for range 2 {
		if err := s.Stop(t.Context()); err != nil {
			t.Fatalf("Stop: %v", err)
		}
	}
	if c, err := net.Dial("tcp", s.Addr()); err == nil {
		_ = c.Close()
		t.Error("the address still accepts connections after Stop")
	}
	if err := rdb.Ping(t.Context()).Err(); err != nil {
		t.Errorf("the caller's client after Stop: %v, want it to work", err)
	}
}

func TestServer_StopWithoutStart(t *testing.T) {
	t.Parallel()
	s := newServer(t, Config{Addr: "127.0.0.1:0"})
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("Stop = %v, want nil", err)
	}
	if err := s.Start(t.Context()); err == nil {
		t.Error("Start after Stop succeeded, want an error")
	}
}

func TestServer_StopIsBounded(t *testing.T) {
	t.Parallel()
	s := newServer(t, Config{Addr: "127.0.0.1:0"})
	if err := s.Start(t.Context()); err != nil {
		t.Fatalf("Start: %v", err)
	}
	c, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	defer func() { _ = c.Close() }()
	// A request that never ends holds an orderly stop up.
	if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: ")); err != nil {
		t.Fatalf("write: %v", err)
	}
	// Connections are accepted in their order: with an answer on a second one the first is known.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	res, err := client.Get(s.URL() + "livez")
	if err != nil {
		t.Fatalf("GET /livez: %v", err)
	}
	_ = res.Body.Close()

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Stop(ctx); err == nil {
		t.Error("Stop with an ended context = nil, want its error")
	}
}

func TestServer_TakenAddressIsNamed(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	defer func() { _ = l.Close() }()
	s := newServer(t, Config{Addr: l.Addr().String()})
	if err := s.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "MONITOR_HTTP_ADDR") {
		t.Errorf("Start = %v, want an error that names MONITOR_HTTP_ADDR", err)
	}
}

func TestServer_URLOfAWildcardAddressCanBeOpened(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		":8081":         "http://127.0.0.1:8081/",
		"0.0.0.0:8081":  "http://127.0.0.1:8081/",
		"[::]:8081":     "http://127.0.0.1:8081/",
		"10.0.0.9:8081": "http://10.0.0.9:8081/",
	} {
		s := newServer(t, Config{Addr: addr, Password: []byte("correct horse")})
		if got := s.URL(); got != want {
			t.Errorf("URL of %s = %s, want %s", addr, got, want)
		}
	}
}
