package faults

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cardworker/cardworker/internal/sandbox"
)

const (
	clientID = "faults-client"
	scope    = "api://faults/.default"

	// cardPIN is the PIN of every card: longer than any, so that it is found nowhere by chance.
	cardPIN = "590274183665"
	// outage is the name of the fault that fails every call.
	outage = "outage"
	// pause is the name of the fault that asks for one.
	pause = "pause"
)

// chaosKinds are the ways in which chaos fails a call. A Retry-After is not among them: it stops the whole
// fleet for a second each time, and is a fault of its own.
var chaosKinds = []sandbox.ChaosKind{
	sandbox.ChaosStatusBefore, sandbox.ChaosStatusAfter, sandbox.ChaosResetBefore, sandbox.ChaosResetAfter,
}

// api is the sandbox behind a server that remembers the access tokens it gives out.
type api struct {
	*sandbox.Sandbox
	url    string
	secret string       // the client secret
	lag    atomic.Int64 // reads that still say blocked after an unblock, of cards made from now on

	mu     sync.Mutex
	tokens []string
}

func startAPI(t testing.TB, sc *Scenario, seed uint64) *api {
	t.Helper()
	a := &api{secret: "secret-" + rand.Text()}
	sb, err := sandbox.New(sandbox.Config{
		ClientID: clientID, ClientSecret: a.secret, Scope: scope, Seed: seed, Latency: sc.Latency, LedgerLimit: 1_000_000,
	})
	if err != nil {
		t.Fatalf("start the API: %v", err)
	}
	a.Sandbox = sb
	if err := sb.SetChaos(sandbox.Chaos{Rate: sc.Chaos, Kinds: chaosKinds}); err != nil {
		t.Fatalf("set the API's chaos: %v", err)
	}
	if sc.Orphans > 0 {
		err := sb.AddFault(sandbox.Fault{Name: "orphan", Probability: sc.Orphans, Delay: sc.Latency, ApplyAfterDisconnect: true})
		if err != nil {
			t.Fatalf("have the API carry out calls whose caller has gone: %v", err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("start the API: %v", err)
	}
	a.url = "http://" + l.Addr().String()
	srv := &http.Server{Handler: a, ReadHeaderTimeout: 5 * time.Second}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(l) // It ends with Close.
	}()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = sb.Stop(ctx) // What hangs is let go.
		_ = srv.Close()
		<-served
	})
	return a
}

// ServeHTTP lets the sandbox answer, and listens in when it is asked for a token.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, "/token") {
		a.Handler().ServeHTTP(w, r)
		return
	}
	tee := &teeWriter{ResponseWriter: w}
	a.Handler().ServeHTTP(tee, r)
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if json.Unmarshal(tee.body.Bytes(), &answer) == nil && answer.AccessToken != "" {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.tokens = append(a.tokens, answer.AccessToken)
	}
}

type teeWriter struct {
	http.ResponseWriter
	body bytes.Buffer
}

func (w *teeWriter) Write(p []byte) (int, error) {
	w.body.Write(p)
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *teeWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// card makes a card that is blocked in every way.
func (a *api) card(t testing.TB, token string) {
	blocked := sandbox.Credential{Blocked: true, LagReads: int(a.lag.Load())}
	err := a.SetCard(sandbox.Card{PublicToken: token, CVV: blocked, PIN: blocked, PINValue: cardPIN})
	if err != nil {
		t.Errorf("make a card: %v", err)
	}
}

// secrets returns what may be written down nowhere.
func (a *api) secrets() map[string]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := map[string]string{"the client secret": a.secret, "a PIN": cardPIN}
	for _, token := range a.tokens {
		// Every access token begins alike; the rest of one must be nowhere.
		out["access token …"+token[len(token)-4:]] = token
	}
	return out
}
