package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cardworker/cardworker/payblr"
)

// apiServer serves a stub as the API serves, token endpoint included.
type apiServer struct {
	addr string
	http *http.Server
}

func serveAPI(ctx context.Context, latency time.Duration) (*apiServer, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &apiServer{addr: l.Addr().String(), http: &http.Server{Handler: handler(newStub(latency)), ReadHeaderTimeout: time.Minute}}
	go func() { _ = s.http.Serve(l) }() // It ends with stop.
	return s, nil
}

func (s *apiServer) stop() { _ = s.http.Close() }

func handler(s *stub) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"bench","token_type":"Bearer","expires_in":86400}`)
	})
	mux.HandleFunc("POST /thr/thredd/card-pin/{token}/pin/unblock", func(w http.ResponseWriter, r *http.Request) {
		if err := s.UnblockPIN(r.Context(), r.PathValue("token"), payblr.Note{}); err != nil {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /thr/thredd/card-pin/{token}/pin/status", func(w http.ResponseWriter, r *http.Request) {
		st, err := s.PINStatus(r.Context(), r.PathValue("token"))
		if err != nil {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"status":%q,"remainingTries":"%d"}`, st.Value, *st.RemainingTries)
	})
	mux.HandleFunc("POST /reset", func(http.ResponseWriter, *http.Request) { _ = s.reset() })
	mux.HandleFunc("GET /check/{unblocked}/{refreshed}", func(w http.ResponseWriter, r *http.Request) {
		unblocked, err1 := strconv.Atoi(r.PathValue("unblocked"))
		refreshed, err2 := strconv.Atoi(r.PathValue("refreshed"))
		if err := errors.Join(err1, err2, s.check(unblocked, refreshed)); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
		}
	})
	return mux
}

// distant is the API over HTTP, spoken to by the client that users have.
type distant struct {
	*payblr.Client
	url string
}

// dial returns the API at an address.
func dial(addr string) (*distant, error) {
	url := "http://" + addr
	c, err := payblr.New(payblr.Config{
		BaseURL: url, TokenURL: url + "/token", ClientID: "bench", ClientSecret: payblr.NewSecret("bench"), Scope: "bench",
	})
	if err != nil {
		return nil, err
	}
	return &distant{c, url}, nil
}

func (d *distant) control(method, path string) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, d.url+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(strings.TrimSpace(string(text)))
	}
	return err
}

func (d *distant) reset() error { return d.control(http.MethodPost, "/reset") }

func (d *distant) check(unblocked, refreshed int) error {
	return d.control(http.MethodGet, fmt.Sprintf("/check/%d/%d", unblocked, refreshed))
}
