package worker

import (
	"context"
	"testing"
	"time"

	"github.com/cardworker/cardworker/internal/sandbox"
	"github.com/cardworker/cardworker/payblr"
)

// startSandbox starts an API to work against.
func startSandbox(t testing.TB, cfg sandbox.Config) *sandbox.Sandbox {
	t.Helper()
	s, err := sandbox.New(cfg)
	if err != nil {
		t.Fatalf("sandbox.New: %v", err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatalf("start the sandbox: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = s.Stop(ctx) // A test may have left a call hanging on purpose.
	})
	return s
}

// clientOf returns a client of the sandbox, closed after the workers that the test starts later.
func clientOf(t testing.TB, s *sandbox.Sandbox, edits ...func(*payblr.Config)) *payblr.Client {
	t.Helper()
	cfg := payblr.Config{
		BaseURL: s.URL(), TokenURL: s.TokenURL(),
		ClientID: sandbox.DefaultClientID, ClientSecret: payblr.NewSecret(sandbox.DefaultClientSecret), Scope: sandbox.DefaultScope,
	}
	for _, edit := range edits {
		edit(&cfg)
	}
	client, err := payblr.New(cfg)
	if err != nil {
		t.Fatalf("payblr.New: %v", err)
	}
	t.Cleanup(client.Close)
	return client
}

// callsFor returns the calls that the sandbox got for a card, in order.
func callsFor(s *sandbox.Sandbox, card string) []sandbox.Entry {
	return s.QueryLedger(sandbox.LedgerQuery{PublicToken: card}).Entries
}

func namesOf(entries []sandbox.Entry) []sandbox.Call {
	var out []sandbox.Call
	for _, e := range entries {
		out = append(out, e.Call)
	}
	return out
}
