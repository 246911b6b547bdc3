package payblr

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// One call over loopback, by one caller and by as many as a worker has places. The allocations are those of the
// client and of the server of the benchmark together.
func BenchmarkClient_Call(b *testing.B) {
	for _, proto := range []struct {
		name  string
		start func(*httptest.Server)
	}{{"HTTP 1.1", (*httptest.Server).Start}, {"HTTP 2", startHTTP2}} {
		b.Run(proto.name, func(b *testing.B) {
			c := benchClient(b, proto.start)
			b.Run("unblock", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := c.UnblockPIN(b.Context(), "103169946", Note{}); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("status", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := c.PINStatus(b.Context(), "103169946"); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("status, many at once", func(b *testing.B) {
				b.ReportAllocs()
				b.SetParallelism(128) // for each processor
				b.RunParallel(func(p *testing.PB) {
					for p.Next() {
						if _, err := c.PINStatus(b.Context(), "103169946"); err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		})
	}
}

// benchClient returns a client of an API that, unlike the fake one, keeps nothing.
func benchClient(b *testing.B, start func(*httptest.Server)) *Client {
	b.Helper()
	answer := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		switch {
		case r.URL.Path == "/token":
			writeToken(w, "bench", "3600")
		case r.Method == http.MethodGet:
			writeJSON(w, http.StatusOK, `{"status":"Unblocked","remainingTries":"3"}`)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}
	api := newFakeAPI(b, func(s *httptest.Server) {
		s.Config.Handler = http.HandlerFunc(answer)
		start(s)
	})
	return api.client(b)
}
