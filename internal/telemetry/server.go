package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/sirupsen/logrus"
)

// readyTimeout bounds one answer of /readyz.
const readyTimeout = 3 * time.Second

// Server answers /livez, /readyz and /metrics. Make one with [NewServer].
type Server struct {
	http     *http.Server
	listener net.Listener
	served   chan struct{}
	log      logrus.FieldLogger
}

// Health is what a process says of itself to whoever asks; it must hold no secret.
type Health struct {
	// Ready says what is missing, or returns nil.
	Ready func(context.Context) error
	// Warnings says what works, but promises less than it should. Nil means that there is nothing to say.
	Warnings func(context.Context) []string
}

// text is the answer of one that is ready: a warning is no reason to take a worker away, as the next one
// would have the same.
func (h Health) text(ctx context.Context) string {
	lines := []string{"ready"}
	if h.Warnings != nil {
		for _, w := range h.Warnings(ctx) {
			lines = append(lines, "warning: "+w)
		}
	}
	return strings.Join(lines, "\n")
}

// NewServer listens on addr.
func NewServer(addr string, metrics prometheus.Gatherer, health Health, log logrus.FieldLogger) (*Server, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
		defer cancel()
		if err := health.Ready(ctx); err != nil {
			answer(w, http.StatusServiceUnavailable, "not ready: "+err.Error())
			return
		}
		answer(w, http.StatusOK, health.text(ctx))
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	return &Server{
		listener: l,
		served:   make(chan struct{}),
		log:      log,
		http: &http.Server{
			Handler:           mux,
			ReadHeaderTimeout: 5 * time.Second,
			WriteTimeout:      30 * time.Second,
			IdleTimeout:       2 * time.Minute,
			MaxHeaderBytes:    16 << 10,
		},
	}, nil
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	// A client that has gone needs no answer.
	_, _ = fmt.Fprintln(w, text)
}

// Addr returns the address that the server listens on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Start begins to answer. It is called once.
func (s *Server) Start() {
	go func() {
		defer close(s.served)
		if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			s.log.Errorf("health and metrics are no longer served: %v", err)
		}
	}()
}

// Stop ends the server after a Start: it lets running answers end until ctx does.
func (s *Server) Stop(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	<-s.served
	return err
}
