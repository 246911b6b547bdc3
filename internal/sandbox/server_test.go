package sandbox_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cardworker/cardworker/internal/sandbox"
)

func newBox(t testing.TB, cfg sandbox.Config) *sandbox.Sandbox {
	t.Helper()
	box, err := sandbox.New(cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return box
}

func stop(t testing.TB, box *sandbox.Sandbox) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := box.Stop(ctx); err != nil {
		t.Errorf("Stop: %v", err)
	}
}

func TestNew_ReportsEveryBadFieldAtOnce(t *testing.T) {
	t.Parallel()
	_, err := sandbox.New(sandbox.Config{
		TokenTTL: 1500 * time.Millisecond, MaxTries: 100, Latency: -1, LedgerLimit: -1, Profile: "prod",
	})
	if err == nil {
		t.Fatal("New accepts all of it")
	}
	for _, want := range []string{"TokenTTL is 1.5s", "MaxTries is 100", "Latency is -1ns", "LedgerLimit is -1", `Profile is "prod"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q, want %q in it", err, want)
		}
	}
}

func TestStart_TwiceIsOnce(t *testing.T) {
	t.Parallel()
	box := newBox(t, sandbox.Config{})
	if box.URL() != "" || box.TokenURL() != "" {
		t.Errorf("URL before Start %q, want none", box.URL())
	}
	for range 2 {
		if err := box.Start(t.Context()); err != nil {
			t.Fatalf("Start: %v", err)
		}
	}
	if !strings.HasPrefix(box.URL(), "http://127.0.0.1:") || box.TokenURL() != box.URL()+"/oauth2/v2.0/token" {
		t.Errorf("URL %q, token URL %q", box.URL(), box.TokenURL())
	}
	stop(t, box)
}

func TestStart_TakenPortIsAnErrorThatNamesIt(t *testing.T) {
	t.Parallel()
	first := newBox(t, sandbox.Config{})
	if err := first.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer stop(t, first)
	addr := strings.TrimPrefix(first.URL(), "http://")
	second := newBox(t, sandbox.Config{Addr: addr})
	if err := second.Start(t.Context()); err == nil || !strings.Contains(err.Error(), addr) {
		t.Errorf("Start on a taken port = %v, want an error with %s", err, addr)
	}
	stop(t, second)
}

func TestStop_WithoutStartTwiceAndConcurrently(t *testing.T) {
	t.Parallel()
	idle := newBox(t, sandbox.Config{})
	stop(t, idle)
	stop(t, idle)
	if err := idle.Start(t.Context()); err == nil {
		t.Error("Start after Stop succeeds")
	}
	box := newBox(t, sandbox.Config{})
	if err := box.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	var stops sync.WaitGroup
	for range 4 {
		stops.Go(func() { stop(t, box) })
	}
	stops.Wait()
}

func TestStop_ReleasesDelaysAndHangs(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]sandbox.Fault{
		"delay": {Delay: time.Minute}, "hang": {Do: sandbox.DoHang}, "headers only": {Do: sandbox.DoHeadersOnly},
		"slow body": {Do: sandbox.DoSlowBody, Hold: time.Minute},
	} {
		b := start(t, sandbox.Config{})
		b.addFault(fault)
		ended := make(chan error, 1)
		go func() {
			_, err := b.call(sandbox.CallPINStatus, blockedCard)
			ended <- err
		}()
		b.await("the call", func(e sandbox.Entry) bool { return e.Call == sandbox.CallPINStatus })
		stop(t, b.box)
		select {
		case err := <-ended:
			if err == nil {
				t.Errorf("%s: the call was answered in full, want it cut off", name)
			}
		case <-time.After(patience):
			t.Fatalf("%s: the call still hangs after Stop", name)
		}
		if e := b.last(); e.Outcome != sandbox.OutcomeDropped {
			t.Errorf("%s: outcome %s, want dropped", name, e.Outcome)
		}
	}
}

func TestStop_IsBoundedByItsContext(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}, 16), make(chan struct{})
	b := start(t, sandbox.Config{Observe: func(e sandbox.Entry) {
		if e.Call == sandbox.CallPINStatus {
			entered <- struct{}{}
			<-release // an observer that does not return holds its request
		}
	}})
	ended := make(chan error, 1)
	go func() {
		_, err := b.call(sandbox.CallPINStatus, blockedCard)
		ended <- err
	}()
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.box.Stop(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Stop = %v, want the error of its context", err)
	}
	close(release)
	<-ended
}

func TestRun_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	box := newBox(t, sandbox.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	if err := box.Start(ctx); err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- box.Run(ctx) }()
	cancel()
	select {
	case err := <-ran:
		if err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	case <-time.After(patience):
		t.Fatal("Run goes on after its context ended")
	}
}

func TestHandler_ServesWithoutAListenerOfItsOwn(t *testing.T) {
	t.Parallel()
	box := newBox(t, sandbox.Config{})
	server := httptest.NewServer(box.Handler())
	defer server.Close()
	resp, err := server.Client().PostForm(server.URL+"/oauth2/v2.0/token", credentials(sandbox.Config{}))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("status %d, want 200", resp.StatusCode)
	}
}

func TestLatency_IsAddedToCardCalls(t *testing.T) {
	t.Parallel()
	b := start(t, sandbox.Config{Latency: 30 * time.Millisecond})
	begin := time.Now()
	b.wantStatus(sandbox.CallPINStatus, blockedCard, 200)
	if took := time.Since(begin); took < 30*time.Millisecond {
		t.Errorf("the call took %v, want at least 30ms", took)
	}
}

func BenchmarkStatusRead(b *testing.B) {
	bench := start(b, sandbox.Config{})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if r, err := bench.call(sandbox.CallPINStatus, blockedCard); err != nil || r.status != 200 {
				b.Errorf("status %d, %v", r.status, err)
			}
		}
	})
}

// BenchmarkHandler leaves out the network and the client.
func BenchmarkHandler(b *testing.B) {
	bench := start(b, sandbox.Config{Observe: func(sandbox.Entry) {}})
	handler := bench.box.Handler()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r := httptest.NewRequest("GET", "/thr/thredd/card-pin/"+blockedCard+"/pin/status", nil)
			r.Header.Set("Authorization", "Bearer "+bench.bearer)
			w := httptest.NewRecorder()
			if handler.ServeHTTP(w, r); w.Code != 200 {
				b.Errorf("status %d", w.Code)
			}
		}
	})
}
