package enqueue_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hibiken/asynq"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/tasks"
)

func TestNew_ListsEverythingThatIsWrong(t *testing.T) {
	t.Parallel()
	_, err := enqueue.New(nil, enqueue.Config{UnblockExpiry: time.Millisecond, RefreshExpiry: 25 * time.Hour, ResultTTL: -1})
	if err == nil {
		t.Fatal("New finds nothing wrong")
	}
	for _, want := range []string{"UnblockExpiry", "RefreshExpiry", "ResultTTL", "1s", "24h"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("New = %q, want it to mention %s", err, want)
		}
	}
	client, err := enqueue.New(nil, enqueue.Config{})
	if err != nil {
		t.Fatalf("New with the defaults = %v", err)
	}
	for range 2 {
		if err := client.Close(); err != nil {
			t.Errorf("Close of an unused client = %v", err)
		}
	}
}

func TestGet_ReadsWhatIsThere(t *testing.T) {
	t.Parallel()
	b := newBench(t, enqueue.Config{})
	acc := b.accept(tasks.UnblockPIN, "103169946")
	got, err := b.client.Get(t.Context(), acc.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(acc.Operation, got); diff != "" {
		t.Errorf("operation as read (-accepted +read):\n%s", diff)
	}
	b.confirmed(acc.ID)
	got, err = b.client.Get(t.Context(), acc.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got.State != tasks.Succeeded || !got.Done || got.Status == nil || got.Status.Blocked || got.Error != nil || got.UnblockAcceptedAt == nil || got.Attempts != 1 {
		t.Errorf("operation at its end: %+v", got)
	}
	for _, id := range []string{"", "nonsense", opstore.DerivedID(tasks.PublicToken{}, "a", "b")} {
		if _, err := b.client.Get(t.Context(), id); !errors.Is(err, enqueue.ErrNotFound) || enqueue.CodeOf(err) != "not_found" {
			t.Errorf("Get(%q) = %v, want not_found", id, err)
		}
	}
}

func TestRetry_DrivesAFailedOperationAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t, enqueue.Config{UnblockExpiry: 3 * time.Minute})
	acc := b.accept(tasks.UnblockPIN, "103169946", enqueue.ExpiresIn(time.Hour))
	if _, err := b.client.Retry(t.Context(), acc.ID); enqueue.CodeOf(err) != "not_failed" {
		t.Errorf("Retry of an open operation = %v, want not_failed", err)
	}
	b.failed(acc.ID, tasks.CodeUnavailable)
	op, err := b.client.Retry(t.Context(), acc.ID)
	if err != nil {
		t.Fatal(err)
	}
	if op.ID != acc.ID || op.State != tasks.Accepted || op.Done || op.Error != nil || op.Attempts != 0 || op.ExpiresAt.Sub(op.UpdatedAt) != 3*time.Minute {
		t.Errorf("retried: %+v", op)
	}
	info, err := asynq.NewInspectorFromRedisClient(b.rdb).GetTaskInfo(tasks.QueueUnblock, acc.ID+":2")
	if err != nil || info.Type != string(tasks.TypeUnblockPIN) || string(info.Payload) != string(tasks.ByReference(acc.ID, 2).Encode()) {
		t.Errorf("task of the retry: %+v, %v", info, err)
	}
	b.failed(acc.ID, tasks.CodeUnavailable)

	other := b.accept(tasks.UnblockPIN, "103169946")
	_, err = b.client.Retry(t.Context(), acc.ID)
	if enqueue.CodeOf(err) != "busy" || !strings.Contains(err.Error(), other.ID) {
		t.Errorf("Retry beside an open operation = %v, want busy, with the id %s", err, other.ID)
	}
	if _, err := b.client.Retry(t.Context(), "nonsense"); enqueue.CodeOf(err) != "not_found" {
		t.Errorf("Retry of nothing = %v, want not_found", err)
	}
}

func TestRetry_OnlyConfirmsWhatWasAccepted(t *testing.T) {
	t.Parallel()
	b := newBench(t, enqueue.Config{UnblockLimit: 1})
	acc := b.accept(tasks.UnblockCVV, "103169946")
	b.chain(b.begin(acc.ID))
	b.failed(acc.ID, tasks.CodeUnconfirmed)
	op, err := b.client.Retry(t.Context(), acc.ID)
	if err != nil || op.State != tasks.Confirming || op.UnblockAcceptedAt == nil {
		t.Fatalf("retried: %+v, %v, want confirming", op, err)
	}
	if _, err := asynq.NewInspectorFromRedisClient(b.rdb).GetTaskInfo(tasks.QueueConfirm, acc.ID+":3"); err != nil {
		t.Errorf("task of the retry: %v", err)
	}
	b.failed(acc.ID, tasks.CodeStillBlocked)
	if _, err := b.client.Retry(t.Context(), acc.ID); enqueue.CodeOf(err) != "unblock_limit_reached" {
		t.Errorf("Retry that unblocks again = %v, want unblock_limit_reached", err)
	}
}
