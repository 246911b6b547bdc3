package monitor

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
)

// Bounds of one connection. Answers are small and come from Redis.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = time.Minute
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 16 << 10
)

// Server serves the masked console. Make one with [New]; it is started and stopped once. Safe for
// concurrent use.
type Server struct {
	cfg   Config
	login *login // nil when none is asked for
	page  *page
	http  *http.Server

	consoles sync.Pool // of *console, one for each call under way

	mu       sync.Mutex
	listener net.Listener
	stopped  bool
	served   chan struct{} // closed when serving has ended
}

// New returns a server that is not yet listening. Its error names everything that is wrong with the
// configuration, among others an address that other machines can reach without a password.
func New(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, served: make(chan struct{})}
	if len(cfg.Password) > 0 {
		s.login = newLogin(cfg.User, cfg.Password)
		s.cfg.Password = nil
	}
	s.consoles.New = func() any { return newConsole(cfg.Redis, cfg.AllowActions) }
	s.page, err = newPage(newConsole(cfg.Redis, cfg.AllowActions).mon)
	if err != nil {
		return nil, err
	}
	s.http = &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          log.New(errorLog{cfg.Log}, "", 0),
	}
	return s, nil
}

// Handler returns what the server serves, login and all.
func (s *Server) Handler() http.Handler { return s.http.Handler }

// Start listens and serves until [Server.Stop]. It returns once connections are accepted. The context
// bounds the listening, not the serving.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped || s.listener != nil {
		return errors.New("monitor: a server is started once; make a new one")
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", s.cfg.Addr)
	if err != nil {
		return fmt.Errorf("monitor: cannot listen on MONITOR_HTTP_ADDR %s: %w", s.cfg.Addr, err)
	}
	// A hosts file can give any address to the name localhost.
	if host, _, err := net.SplitHostPort(listener.Addr().String()); s.login == nil && (err != nil || !isLoopback(host)) {
		return errors.Join(fmt.Errorf("monitor: MONITOR_HTTP_ADDR %s is no loopback address here and there is no password: "+
			"set MONITOR_PASSWORD_FILE, or listen on %s", s.cfg.Addr, DefaultAddr), listener.Close())
	}
	s.listener = listener
	go func() {
		defer close(s.served)
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.cfg.Log.WithError(err).Error("monitor: stopped serving")
		}
	}()
	return nil
}

// Stop ends listening and waits for the answers under way, at most until the context ends, when it cuts
// them off and returns the context's error. It may be called again and without Start, and leaves the
// Redis client open.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	started := s.listener != nil
	s.stopped = true
	s.mu.Unlock()
	if !started {
		return nil
	}
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = fmt.Errorf("monitor: stop: %w", errors.Join(err, s.http.Close()))
	}
	<-s.served
	return err
}

// Addr returns the address that the server listens on, the port that was chosen included; before Start
// the configured one.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return s.cfg.Addr
	}
	return s.listener.Addr().String()
}

// URL returns the address to open in a browser on this machine.
func (s *Server) URL() string {
	host, port, err := net.SplitHostPort(s.Addr())
	if err != nil {
		return "http://" + s.Addr() + "/"
	}
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port) + "/"
}

// errorLog passes on what net/http has to say about connections.
type errorLog struct{ entry *logrus.Entry }

func (l errorLog) Write(b []byte) (int, error) {
	l.entry.Warn("monitor: " + maskText(strings.TrimSpace(string(b)), nil))
	return len(b), nil
}
