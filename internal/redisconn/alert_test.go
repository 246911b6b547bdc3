package redisconn_test

import (
	"errors"
	"io"
	"testing"

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
		if err := conn.Explain(io.EOF); !errors.As(err, &e) || e.Kind != redisconn.TLSClientMissing {
			t.Fatalf("Explain(EOF) = %v, want TLSClientMissing", err)
		}
	}
}
