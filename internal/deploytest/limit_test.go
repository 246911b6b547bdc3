package deploytest

import (
	"errors"
	"testing"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/tasks"
)

func TestUsers_AProducerIsToldThatTheLimitIsReached(t *testing.T) {
	t.Parallel()
	secrets := newSecrets(t)
	server := startRedis(t, secrets)
	client, err := enqueue.New(as(t, server, secrets, "producer"), enqueue.Config{UnblockLimit: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	acc, err := client.UnblockPIN(t.Context(), "100000003")
	if err != nil {
		t.Fatalf("accept: %v", err)
	}
	// It has ended, or another would join it.
	if err := server.Client(t).HSet(t.Context(), "cardworker:{"+tasks.ShardOf(acc.ID)+"}:op:"+acc.ID, "state", "failed").Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := client.UnblockPIN(t.Context(), "100000003"); !errors.Is(err, enqueue.ErrUnblockLimitReached) {
		t.Errorf("the second unblock = %v, want %v", err, enqueue.ErrUnblockLimitReached)
	}
	nothingDenied(t, server)
}
