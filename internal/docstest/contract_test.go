package docstest

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/hibiken/asynq"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/tasks"
)

func TestContract_PlainClientHasAPINUnblockedAndConfirmed(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	const card = "103169946"
	for range 2 { // The second is the same request over again.
		if err := unblockPIN(t.Context(), s.client, card, "tap-1"); err != nil {
			t.Fatalf("unblockPIN = %v", err)
		}
	}
	op := s.wait(s.operation("tap-1"))
	if op.State != tasks.Succeeded || op.Kind != tasks.UnblockPIN || op.PublicToken != "******946" || op.UnblockAcceptedAt == nil {
		t.Errorf("the operation is %+v, want a succeeded unblock_pin of card ******946", op)
	}

	// The same idempotency key through the library is the same operation.
	acc, err := s.ours.UnblockPIN(t.Context(), card, enqueue.IdempotencyKey("tap-1"))
	if err != nil || acc.ID != op.ID {
		t.Errorf("the library's operation is %q (%v), want %q", acc.ID, err, op.ID)
	}
	if n := s.api.sent(); n != 1 {
		t.Errorf("the API saw %d unblocks, want 1", n)
	}
	s.keysAreThoseOfTheTable()
}

// keysAreThoseOfTheTable checks that every key of ours is one that the architecture names.
func (s scene) keysAreThoseOfTheTable() {
	s.Helper()
	var named []string
	for _, key := range parse(read(s, architecture)).under(s, "Keys in Redis")[0].column(0) {
		p := regexp.QuoteMeta(key)
		for placeholder, form := range map[string]string{"NN": `\d\d`, "<id>": `cw\d\d-\w{26}`, "<kind>": `[a-z_]+`, "<card>": `[0-9a-f]+`, "<digest>": `[0-9a-f]+`} {
			p = strings.ReplaceAll(p, placeholder, form)
		}
		named = append(named, p)
	}
	form := regexp.MustCompile("^(?:" + strings.Join(named, "|") + ")$")
	found := 0
	keys := s.rdb.Scan(s.Context(), 0, "cardworker:*", 1000).Iterator()
	for keys.Next(s.Context()) {
		found++
		if !form.MatchString(keys.Val()) {
			s.Errorf("the key %s is not in the table of %s", keys.Val(), architecture)
		}
	}
	if err := keys.Err(); err != nil || found < 4 {
		s.Errorf("%d keys were found (%v); record, limit, key and events are there at least", found, err)
	}
}

func TestContract_EveryFirstTypeTakesASelfContainedPayload(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	for i, k := range tasks.Kinds() {
		typ := k.FirstType()
		request := "request-" + string(k)
		info := s.enqueue(string(typ), typ.Policy().Queue, fmt.Sprintf(`{"public_token":"20000000%d","added_later":true}`, i),
			asynq.TaskStateCompleted, asynq.TaskID(request))
		var result struct {
			OperationID string `json:"operation_id"`
		}
		if err := strict(string(info.Result), &result); err != nil {
			t.Fatalf("the result of %s: %v", typ, err)
		}
		if op := s.wait(result.OperationID); op.State != tasks.Succeeded || op.Kind != k {
			t.Errorf("%s became %s of kind %s, want a succeeded %s", typ, op.State, op.Kind, k)
		}
	}
}

func TestContract_RefusedTasksAreArchivedWithTheReason(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	for _, tc := range []struct{ typ, queue, payload, reason string }{
		{"pin:unblock", "unblock", `{`, "malformed payload"},
		{"pin:unblock", "unblock", `{"public_token":"4111111111111112"}`, "card number"}, // By its length alone.
		{"pin:status", "refresh", `{"public_token":5}`, "field public_token"},
		{"pin:status", "refresh", `{"public_token":"103169946","expires_at":"2222-02-22T22:22:22Z"}`, "expires_at is more than 24h"},
		{"pin:confirm", "confirm", `{"public_token":"103169946"}`, "cannot be enqueued by itself"},
	} {
		info := s.enqueue(tc.typ, tc.queue, tc.payload, asynq.TaskStateArchived)
		if !strings.Contains(info.LastErr, tc.reason) || strings.Contains(info.LastErr, "4111") {
			t.Errorf("%s %s is archived with %q, want %q in it and no value", tc.typ, tc.payload, info.LastErr, tc.reason)
		}
	}

	if err := unblockPIN(t.Context(), s.client, "103169946", "tap-2"); err != nil {
		t.Fatal(err)
	}
	s.wait(s.operation("tap-2"))
	info := s.enqueue("cvv:unblock", "unblock", `{"public_token":"103169946","idempotency_key":"tap-2"}`, asynq.TaskStateArchived)
	if _, err := operationOf(s.inspector, info.ID); err == nil || !strings.HasSuffix(err.Error(), "another kind or card") {
		t.Errorf("operationOf a reused key = %v, want the reason", err)
	}
}

func TestContract_ATaskWithACardNumberIsDeleted(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	for _, payload := range []string{
		`{"public_token":"4111111111111111"}`,
		`{"public_token":"103169946","reason":"card 4111 1111 1111 1111"}`,
		`4111111111111111`,
	} {
		task := asynq.NewTask("pin:unblock", []byte(payload))
		info, err := s.client.EnqueueContext(t.Context(), task, asynq.Queue("unblock"))
		if err != nil {
			t.Fatal(err)
		}
		s.gone("unblock", info.ID)
	}
	if err := unblockPIN(t.Context(), s.client, "4111111111111111", "tap-3"); err != nil {
		t.Fatal(err)
	}
	s.gone("unblock", "tap-3")
	if _, err := operationOf(s.inspector, "tap-3"); !errors.Is(err, asynq.ErrTaskNotFound) || !strings.Contains(err.Error(), "card number") {
		t.Errorf("operationOf a deleted request = %v, want why it may have been", err)
	}
	if n := s.api.sent(); n != 0 {
		t.Errorf("the API saw %d unblocks, want none", n)
	}
}

func TestContract_TasksOfANewerReleaseWait(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	for typ, payload := range map[string]string{
		"pin:unblock":          `{"version":2,"card":{}}`,
		"pin:unblock_reversal": `{"public_token":"103169946"}`, // Types are matched exactly.
	} {
		if info := s.enqueue(typ, "unblock", payload, asynq.TaskStateRetry); info.Retried != 0 {
			t.Errorf("%s was counted as tried %d times, want 0", typ, info.Retried)
		}
	}
	if n := s.api.sent(); n != 0 {
		t.Errorf("the API saw %d unblocks, want none", n)
	}
}

func TestContract_AnExpiryInThePastFailsAsExpired(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.enqueue("pin:unblock", "unblock", `{"public_token":"103169946","expires_at":"2001-02-03T04:05:06+01:00"}`,
		asynq.TaskStateCompleted, asynq.TaskID("late"))
	op := s.wait(s.operation("late"))
	if op.Error == nil || op.Error.Code != tasks.CodeExpired || s.api.sent() != 0 {
		t.Errorf("the operation is %s with %+v after %d unblocks, want expired after none", op.State, op.Error, s.api.sent())
	}
}

func TestContract_ARequestJoinsTheOpenOperation(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.api.mu.Lock() // The API answers nobody.
	unlock := sync.OnceFunc(s.api.mu.Unlock)
	defer unlock()
	for _, request := range []string{"first-tap", "second-tap"} {
		if err := unblockPIN(t.Context(), s.client, "103169946", request); err != nil {
			t.Fatal(err)
		}
		s.operation(request)
	}
	first, second := s.operation("first-tap"), s.operation("second-tap")
	unlock()
	if first != second {
		t.Errorf("two operations, %s and %s, want one", first, second)
	}
	if op := s.wait(first); op.State != tasks.Succeeded || s.api.sent() != 1 {
		t.Errorf("%s after %d unblocks, want succeeded after 1", op.State, s.api.sent())
	}
}
