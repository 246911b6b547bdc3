package redisconn_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/cardworker/cardworker/internal/redisconn"
	"github.com/cardworker/cardworker/internal/redistest"
)

// What the server said is lost when the connection is reset before it was read.
func TestExplain_AConnectionThatWasCutForWantOfACertificateSaysSo(t *testing.T) {
	t.Parallel()
	ca := redistest.NewCA(t)
	server := redistest.StartTLS(t, ca)
	conn, err := redisconn.Open("rediss://"+server.Addr+"/0?ca_file="+ca.File, redisconn.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	for range 20 {
		var e *redisconn.Error
		if err := conn.Explain(t.Context(), io.EOF); !errors.As(err, &e) || e.Kind != redisconn.TLSClientMissing {
			t.Fatalf("Explain(EOF) = %v, want TLSClientMissing", err)
		}
	}
}

// muteTLS returns a connection to a server that takes connections and says nothing, and a channel that tells of each
// of them.
func muteTLS(t *testing.T) (*redisconn.Conn, <-chan struct{}) {
	t.Helper()
	taken := make(chan struct{}, 10)
	addr := listen(t, func(conn net.Conn) {
		taken <- struct{}{}
		_, _ = io.Copy(io.Discard, conn)
	}, false)
	return open(t, "rediss://"+addr, redisconn.Options{}), taken
}

func TestExplain_TakesNoLongerThanItsContextLasts(t *testing.T) {
	t.Parallel()
	conn, taken := muteTLS(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	<-ctx.Done()
	begin := time.Now()
	if err := conn.Explain(ctx, io.EOF); redisconn.KindOf(err) != redisconn.Disconnected {
		t.Errorf("Explain(EOF) = %v, want Disconnected", err)
	}
	// Half a second, and the rest for a busy machine: without the context it takes two.
	if took := time.Since(begin); took > 1900*time.Millisecond {
		t.Errorf("it took %s with a context whose time was over", took)
	}
	select {
	case <-taken:
	case <-time.After(time.Minute):
		t.Error("the server was not asked")
	}
}

func TestExplain_OfACancelledCallAsksNothing(t *testing.T) {
	t.Parallel()
	conn, taken := muteTLS(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := conn.Explain(ctx, io.EOF); redisconn.KindOf(err) != redisconn.Disconnected {
		t.Errorf("Explain(EOF) = %v, want Disconnected", err)
	}
	select {
	case <-taken:
		t.Error("the server was asked")
	default:
	}
}

func TestExplain_SaysWhyAlsoWhenTheTimeIsOver(t *testing.T) {
	t.Parallel()
	ca := redistest.NewCA(t)
	server := redistest.StartTLS(t, ca)
	conn := open(t, "rediss://"+server.Addr+"/0?ca_file="+ca.File, redisconn.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	<-ctx.Done()
	const tries = 20 // A busy machine may take longer than half a second for one.
	for range tries {
		if redisconn.KindOf(conn.Explain(ctx, io.EOF)) == redisconn.TLSClientMissing {
			return
		}
	}
	t.Errorf("Explain(EOF) did not once say TLSClientMissing in %d tries", tries)
}
