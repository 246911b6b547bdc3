package enqueue_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/tasks"
)

func TestDurability_ThatCannotBeHadIsARefusal(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	accept := func(client *enqueue.Client) func() error {
		return func() error {
			_, err := client.UnblockPIN(t.Context(), "103169946", enqueue.IdempotencyKey("tap-1"))
			return err
		}
	}
	for level, want := range map[enqueue.Durability]string{
		enqueue.OnDisk:    "durability disk cannot be had",
		enqueue.OnReplica: "durability replica cannot be had",
	} {
		client := benchOn(t, rdb, enqueue.Config{Durability: level}).client
		for what, ask := range map[string]func() error{
			"Accept":          accept(client),
			"CheckDurability": func() error { return client.CheckDurability(t.Context()) },
		} {
			err := ask()
			if enqueue.CodeOf(err) != "queue_unavailable" || !errors.Is(err, enqueue.ErrNotDurable) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s with %s = %v, want queue_unavailable and %q", what, level, err, want)
			}
		}
	}
	if n := rdb.DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("%d keys were written", n)
	}
	client := benchOn(t, rdb, enqueue.Config{}).client
	if err := errors.Join(client.CheckDurability(t.Context()), accept(client)()); err != nil {
		t.Errorf("without a durability: %v", err)
	}
}

func TestDurability_OnDiskIsTheWholeWayOfAnOperation(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always").Client(t)
	b := benchOn(t, rdb, enqueue.Config{Durability: enqueue.OnDisk})
	if err := b.client.CheckDurability(t.Context()); err != nil {
		t.Fatalf("CheckDurability = %v", err)
	}
	acc := b.accept(tasks.UnblockPIN, "103169946", enqueue.IdempotencyKey("tap-1"))
	if again := b.accept(tasks.UnblockPIN, "103169946", enqueue.IdempotencyKey("tap-1")); again.ID != acc.ID {
		t.Errorf("the same key gives %s, want %s", again.ID, acc.ID)
	}
	if joined := b.accept(tasks.UnblockPIN, "103169946"); joined.ID != acc.ID || !joined.Joined {
		t.Errorf("another request gets %s, Joined %v, want to have joined %s", joined.ID, joined.Joined, acc.ID)
	}
	b.failed(acc.ID, tasks.CodeUnavailable)
	if op, err := b.client.Retry(t.Context(), acc.ID); err != nil || op.State != tasks.Accepted {
		t.Errorf("Retry = %+v, %v", op, err)
	}
}

func TestNew_RefusesADurabilityThatIsNone(t *testing.T) {
	t.Parallel()
	_, err := enqueue.New(nil, enqueue.Config{Durability: "paper"})
	if err == nil || !strings.Contains(err.Error(), "Durability must be one of [memory disk replica]") {
		t.Errorf("New = %v, want an error that lists the levels", err)
	}
	ring := redis.NewRing(&redis.RingOptions{})
	defer func() { _ = ring.Close() }()
	if _, err := enqueue.New(ring, enqueue.Config{Durability: enqueue.OnDisk}); err == nil || !strings.Contains(err.Error(), "use a cluster") {
		t.Errorf("New with a ring = %v, want it refused: what waits would go to any of its servers", err)
	}
	for _, level := range enqueue.Durabilities() {
		client, err := enqueue.New(nil, enqueue.Config{Durability: level})
		if err != nil {
			t.Fatalf("New with %s = %v", level, err)
		}
		if err := client.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	}
}
