package enqueue_test

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/tasks"
)

func TestAccept_PutsOneTaskByReferenceIntoItsQueue(t *testing.T) {
	t.Parallel()
	b := newBench(t, enqueue.Config{})
	inspector := asynq.NewInspectorFromRedisClient(b.rdb)
	for kind, call := range map[tasks.Kind]func() (enqueue.Accepted, error){
		tasks.UnblockPIN:       func() (enqueue.Accepted, error) { return b.client.UnblockPIN(t.Context(), "Zq1234567") },
		tasks.UnblockCVV:       func() (enqueue.Accepted, error) { return b.client.UnblockCVV(t.Context(), "Zq1234567") },
		tasks.RefreshPINStatus: func() (enqueue.Accepted, error) { return b.client.RefreshPINStatus(t.Context(), "Zq1234567") },
		tasks.RefreshCVVStatus: func() (enqueue.Accepted, error) { return b.client.RefreshCVVStatus(t.Context(), "Zq1234567") },
	} {
		acc, err := call()
		if err != nil {
			t.Fatalf("%s = %v", kind, err)
		}
		if acc.Kind != kind || acc.State != tasks.Accepted || acc.Joined || acc.PublicToken != "******567" || !tasks.ValidID(acc.ID) {
			t.Errorf("%s: accepted %+v", kind, acc)
		}
		policy := kind.FirstType().Policy()
		info, err := inspector.GetTaskInfo(policy.Queue, acc.ID+":1")
		if err != nil {
			t.Fatalf("%s: task %s:1 in queue %s: %v", kind, acc.ID, policy.Queue, err)
		}
		if info.Type != string(kind.FirstType()) || info.State != asynq.TaskStatePending {
			t.Errorf("%s: task of type %s is %s, want %s, pending", kind, info.Type, info.State, kind.FirstType())
		}
		if want := string(tasks.ByReference(acc.ID, 1).Encode()); string(info.Payload) != want {
			t.Errorf("%s: payload %s, want %s, which has no token", kind, info.Payload, want)
		}
	}
}

func TestAccept_Options(t *testing.T) {
	t.Parallel()
	b := newBench(t, enqueue.Config{UnblockExpiry: time.Hour, RefreshExpiry: 30 * time.Second})
	acc := b.accept(tasks.UnblockPIN, "1",
		enqueue.IdempotencyKey(strings.Repeat("k", 255)), enqueue.ExpiresIn(90*time.Second),
		enqueue.Reason(strings.Repeat("é", 800)), enqueue.UpdatedBy(strings.Repeat("é", 100)))
	rec, err := b.store.Get(t.Context(), acc.ID)
	if err != nil {
		t.Fatal(err)
	}
	if rec.Reason != strings.Repeat("é", 800) || rec.UpdatedBy != strings.Repeat("é", 100) {
		t.Error("the record has another reason or name than was given")
	}
	for what, tc := range map[string]struct {
		acc  enqueue.Accepted
		want time.Duration
	}{
		"as asked":               {acc, 90 * time.Second},
		"an unblock by default":  {b.accept(tasks.UnblockCVV, "2"), time.Hour},
		"a refresh by default":   {b.accept(tasks.RefreshCVVStatus, "2"), 30 * time.Second},
		"the shortest":           {b.accept(tasks.UnblockCVV, "3", enqueue.ExpiresIn(time.Second)), time.Second},
		"the longest":            {b.accept(tasks.UnblockCVV, "4", enqueue.ExpiresIn(24*time.Hour)), 24 * time.Hour},
		"the last of two counts": {b.accept(tasks.UnblockCVV, "5", enqueue.ExpiresIn(time.Hour), enqueue.ExpiresIn(time.Minute)), time.Minute},
	} {
		if got := tc.acc.ExpiresAt.Sub(tc.acc.CreatedAt); got != tc.want {
			t.Errorf("%s: lives for %s, want %s", what, got, tc.want)
		}
	}
}

func TestAccept_RefusesBadInputWithoutATrace(t *testing.T) {
	t.Parallel()
	b := newBench(t, enqueue.Config{})
	const secret = "4111111111111111"
	for what, tc := range map[string]struct {
		kind  tasks.Kind
		token string
		opts  []enqueue.Option
		code  string
		says  []string
	}{
		"no token":            {tasks.UnblockPIN, "", nil, "invalid_public_token", []string{"empty"}},
		"card number":         {tasks.UnblockPIN, secret, nil, "invalid_public_token", []string{"card number"}},
		"long token":          {tasks.UnblockPIN, "0123456789", nil, "invalid_public_token", []string{"at most 9"}},
		"no kind":             {"", "1", nil, "invalid_argument", []string{"kind", "unblock_pin"}},
		"another kind":        {tasks.Kind(secret), "1", nil, "invalid_argument", []string{"kind"}},
		"empty key":           {tasks.UnblockPIN, "1", opts(enqueue.IdempotencyKey("")), "invalid_argument", []string{"idempotency key", "1 to 255"}},
		"long key":            {tasks.UnblockPIN, "1", opts(enqueue.IdempotencyKey(strings.Repeat(secret, 16))), "invalid_argument", []string{"idempotency key", "256"}},
		"key not ASCII":       {tasks.UnblockPIN, "1", opts(enqueue.IdempotencyKey(secret + "é")), "invalid_argument", []string{"printable ASCII"}},
		"expiry too short":    {tasks.UnblockPIN, "1", opts(enqueue.ExpiresIn(time.Second - 1)), "invalid_argument", []string{"expiry", "1s", "24h"}},
		"expiry too long":     {tasks.UnblockPIN, "1", opts(enqueue.ExpiresIn(24*time.Hour + 1)), "invalid_argument", []string{"expiry", "24h"}},
		"expiry negative":     {tasks.UnblockPIN, "1", opts(enqueue.ExpiresIn(-time.Minute)), "invalid_argument", []string{"expiry"}},
		"long reason":         {tasks.UnblockPIN, "1", opts(enqueue.Reason(strings.Repeat(secret, 51))), "invalid_argument", []string{"reason", "800"}},
		"reason not UTF-8":    {tasks.UnblockPIN, "1", opts(enqueue.Reason(secret + "\xff")), "invalid_argument", []string{"UTF-8"}},
		"long name":           {tasks.UnblockPIN, "1", opts(enqueue.UpdatedBy(strings.Repeat(secret, 7))), "invalid_argument", []string{"updated-by", "100"}},
		"everything at once":  {tasks.UnblockPIN, "1", opts(enqueue.IdempotencyKey(""), enqueue.ExpiresIn(0), enqueue.UpdatedBy(strings.Repeat("x", 101))), "invalid_argument", []string{"key", "expiry", "updated-by"}},
		"bad for a refresh":   {tasks.RefreshPINStatus, "1", opts(enqueue.Reason(strings.Repeat("x", 801))), "invalid_argument", []string{"reason"}},
		"token before option": {tasks.UnblockPIN, secret, opts(enqueue.IdempotencyKey("")), "invalid_public_token", nil},
	} {
		_, err := b.client.Accept(t.Context(), tc.kind, tc.token, tc.opts...)
		if got := enqueue.CodeOf(err); got != tc.code {
			t.Errorf("%s: CodeOf(%v) = %q, want %q", what, err, got, tc.code)
			continue
		}
		for _, s := range tc.says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: error %q does not say %q", what, err, s)
			}
		}
		if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "0123456789") {
			t.Errorf("%s: error %q repeats what was given", what, err)
		}
	}
	if n := b.rdb.DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("refused requests left %d keys", n)
	}
}

func opts(o ...enqueue.Option) []enqueue.Option { return o }

func TestAccept_TwoTapsAreOneOperation(t *testing.T) {
	t.Parallel()
	b := newBench(t, enqueue.Config{})
	for _, opts := range [][]enqueue.Option{nil, {enqueue.IdempotencyKey("tap-1")}} {
		const taps = 20
		var (
			wg  sync.WaitGroup
			all [taps]enqueue.Accepted
		)
		for i := range taps {
			wg.Go(func() { all[i] = b.accept(tasks.UnblockPIN, "103169946", opts...) })
		}
		wg.Wait()
		for _, acc := range all {
			if acc.ID != all[0].ID {
				t.Errorf("ids %s and %s", acc.ID, all[0].ID)
			}
		}
		b.confirmed(all[0].ID)
	}
	again := b.accept(tasks.UnblockPIN, "103169946", enqueue.IdempotencyKey("tap-1"))
	if again.State != tasks.Succeeded || again.Joined {
		t.Errorf("the same key after the end: state %s, Joined %v, want succeeded, false", again.State, again.Joined)
	}
	pending, err := asynq.NewInspectorFromRedisClient(b.rdb).ListPendingTasks(tasks.QueueUnblock)
	if err != nil || len(pending) != 2 {
		t.Errorf("%d tasks were enqueued, %v, want 2 for the two operations", len(pending), err)
	}
}

func TestAccept_RefusalsThatDependOnTheCard(t *testing.T) {
	t.Parallel()
	b := newBench(t, enqueue.Config{UnblockLimit: 1})
	b.confirmed(b.accept(tasks.UnblockPIN, "103169946", enqueue.IdempotencyKey("tap-secret")).ID)
	for what, tc := range map[string]struct {
		kind  tasks.Kind
		token string
		key   string
		code  string
		is    error
	}{
		"another kind with the key": {tasks.UnblockCVV, "103169946", "tap-secret", "idempotency_mismatch", enqueue.ErrIdempotencyMismatch},
		"another card with the key": {tasks.UnblockPIN, "103169947", "tap-secret", "idempotency_mismatch", enqueue.ErrIdempotencyMismatch},
		"over the limit":            {tasks.UnblockPIN, "103169946", "tap-2", "unblock_limit_reached", enqueue.ErrUnblockLimitReached},
	} {
		_, err := b.client.Accept(t.Context(), tc.kind, tc.token, enqueue.IdempotencyKey(tc.key))
		if enqueue.CodeOf(err) != tc.code || !errors.Is(err, tc.is) {
			t.Errorf("%s: %v, want %s", what, err, tc.code)
		}
		if err != nil && (strings.Contains(err.Error(), tc.token) || strings.Contains(err.Error(), "tap-secret")) {
			t.Errorf("%s: error %q repeats what was given", what, err)
		}
	}
	var limit *opstore.LimitError
	if _, err := b.client.UnblockPIN(t.Context(), "103169946"); !errors.As(err, &limit) || limit.RetryAfter <= 0 {
		t.Errorf("over the limit: %v, want it to say when the next is possible", err)
	}
}

// The record is what counts: recovery enqueues what could not be enqueued.
func TestAccept_SucceedsWhenOnlyTheTaskIsMissing(t *testing.T) {
	t.Parallel()
	b := newBench(t, enqueue.Config{})
	if err := b.rdb.Set(t.Context(), "asynq:{unblock}:pending", "not a list", 0).Err(); err != nil {
		t.Fatal(err)
	}
	acc := b.accept(tasks.UnblockPIN, "103169946", enqueue.IdempotencyKey("tap-1"))
	if err := b.rdb.Del(t.Context(), "asynq:{unblock}:pending", "asynq:{unblock}:t:"+acc.ID+":1").Err(); err != nil {
		t.Fatal(err)
	}
	inspector := asynq.NewInspectorFromRedisClient(b.rdb)
	if again := b.accept(tasks.UnblockPIN, "103169946", enqueue.IdempotencyKey("tap-1")); again.ID != acc.ID {
		t.Errorf("the same request again: id %s, want %s", again.ID, acc.ID)
	}
	if _, err := inspector.GetTaskInfo(tasks.QueueUnblock, acc.ID+":1"); err != nil {
		t.Errorf("the same request again does not enqueue the missing task: %v", err)
	}
}

func TestAccepted_JSONIsTheOperations(t *testing.T) {
	t.Parallel()
	b := newBench(t, enqueue.Config{})
	first := b.accept(tasks.UnblockPIN, "103169946")
	second := b.accept(tasks.UnblockPIN, "103169946")
	var op, a1, a2 map[string]any
	for into, v := range map[*map[string]any]any{&op: first.Operation, &a1: first, &a2: second} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}
	if len(a1) != len(op) || a1["joined"] != nil || len(a2) != len(op)+1 || a2["joined"] != true {
		t.Errorf("accepted: %d fields, joined %v; joined: %d fields, joined %v; an operation has %d", len(a1), a1["joined"], len(a2), a2["joined"], len(op))
	}
}
