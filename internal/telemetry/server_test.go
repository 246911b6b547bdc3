package telemetry_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"github.com/cardworker/cardworker/internal/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestServer_TellsHealthAndMetrics(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	things := prometheus.NewCounter(prometheus.CounterOpts{Name: "things_total", Help: "Things."})
	reg.MustRegister(things)
	things.Add(3)
	var missing atomic.Pointer[error]
	srv := serve(t, reg, func(context.Context) error {
		if err := missing.Load(); err != nil {
			return *err
		}
		return nil
	})
	for _, tc := range []struct {
		what   string
		path   string
		ready  error
		status int
		text   string
	}{
		{"alive", "/livez", nil, 200, "ok"},
		{"ready", "/readyz", nil, 200, "ready"},
		{"not ready", "/readyz", errors.New("draining"), 503, "not ready: draining"},
		{"alive though not ready", "/livez", errors.New("draining"), 200, "ok"},
		{"metrics", "/metrics", nil, 200, "things_total 3"},
		{"anything else", "/debug/pprof/", nil, 404, "not found"},
	} {
		missing.Store(nil)
		if tc.ready != nil {
			missing.Store(&tc.ready)
		}
		status, body := get(t, srv, tc.path)
		if status != tc.status || !strings.Contains(body, tc.text) {
			t.Errorf("%s: GET %s = %d %q, want %d with %q", tc.what, tc.path, status, body, tc.status, tc.text)
		}
	}
}

func TestServer_AWarningIsSaidAndLeavesItReady(t *testing.T) {
	t.Parallel()
	srv, err := telemetry.NewServer("127.0.0.1:0", prometheus.NewRegistry(), telemetry.Health{
		Ready:    func(context.Context) error { return nil },
		Warnings: func(context.Context) []string { return []string{"one", "two"} },
	}, logrus.New())
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() {
		if err := srv.Stop(context.Background()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	if status, body := get(t, srv, "/readyz"); status != http.StatusOK || body != "ready\nwarning: one\nwarning: two\n" {
		t.Errorf("GET /readyz = %d %q, want 200 with both warnings", status, body)
	}
}

func TestServer_AnAddressThatIsTakenIsAnError(t *testing.T) {
	t.Parallel()
	srv := serve(t, prometheus.NewRegistry(), func(context.Context) error { return nil })
	if _, err := telemetry.NewServer(srv.Addr(), prometheus.NewRegistry(), telemetry.Health{}, logrus.New()); err == nil {
		t.Errorf("NewServer on %s, which is taken, succeeds", srv.Addr())
	}
}

func TestServer_StopLetsARunningAnswerEnd(t *testing.T) {
	t.Parallel()
	asked, answer := make(chan struct{}), make(chan struct{})
	srv, err := telemetry.NewServer("127.0.0.1:0", prometheus.NewRegistry(), telemetry.Health{Ready: func(context.Context) error {
		close(asked)
		<-answer
		return nil
	}}, logrus.New())
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	got := make(chan int, 1)
	go func() {
		status, _ := get(t, srv, "/readyz")
		got <- status
	}()
	<-asked
	stopped := make(chan error, 1)
	go func() { stopped <- srv.Stop(t.Context()) }()
	close(answer)
	if status := <-got; status != 200 {
		t.Errorf("the answer under way has status %d, want 200", status)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Stop = %v", err)
	}
}

func TestNewLog_RefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ format, level, says string }{
		{"xml", "info", "text or json"},
		{"json", "loud", "debug, info, warn or error"},
	} {
		if _, err := telemetry.NewLog(io.Discard, tc.format, tc.level); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("NewLog(%s, %s) = %v, want an error that names %s", tc.format, tc.level, err, tc.says)
		}
	}
	var out strings.Builder
	log, err := telemetry.NewLog(&out, "json", "warn")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("quiet")
	log.WithField("operation", "cw05").Warn("heard")
	if got := out.String(); strings.Contains(got, "quiet") || !strings.Contains(got, `"operation":"cw05"`) {
		t.Errorf("the log has %q, want the warning alone, as JSON", got)
	}
}

func serve(t *testing.T, reg prometheus.Gatherer, ready func(context.Context) error) *telemetry.Server {
	t.Helper()
	srv, err := telemetry.NewServer("127.0.0.1:0", reg, telemetry.Health{Ready: ready}, logrus.New())
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := srv.Stop(ctx); err != nil {
			t.Errorf("Stop = %v", err)
		}
	})
	return srv
}

// get asks on a connection of its own, which it leaves closed.
func get(t *testing.T, srv *telemetry.Server, path string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+srv.Addr()+path, http.NoBody)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return resp.StatusCode, string(b)
}
