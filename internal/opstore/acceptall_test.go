package opstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/doorbell"
	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/tasks"
)

// neighbours returns cards of one shard that no other test uses.
func neighbours(t testing.TB, n int) []tasks.PublicToken {
	t.Helper()
	cards := []tasks.PublicToken{card(t)}
	for len(cards) < n {
		if c := card(t); c.Shard() == cards[0].Shard() {
			cards = append(cards, c)
		}
	}
	return cards
}

// queueOf returns a queue of its own for a test, whose keys are in the slot of a card.
func queueOf(t testing.TB, c tasks.PublicToken) string {
	return c.Shard() + "}:" + strings.ReplaceAll(t.Name(), "/", ":")
}

// requests returns requests for the cards, each with an id and a task, as Accept would come with them.
func requests(kind tasks.Kind, queue string, cards ...tasks.PublicToken) []*accepting {
	var all []*accepting
	for _, c := range cards {
		id := NewID(c)
		all = append(all, &accepting{
			req:  &Request{Kind: kind, Card: c, Lifetime: time.Minute, ID: id, fresh: true},
			task: &doorbell.Task{Queue: queue, ID: TaskID(id, 1), Message: "the message of " + id, Since: 17},
		})
	}
	return all
}

// together accepts requests of one form in one step.
func (f fixture) together(all []*accepting) {
	f.Helper()
	f.store.acceptForm(f.Context(), all[0].form(), all)
}

// state returns all that Redis has of what was accepted, with names and times that are the same for all.
func (f fixture) state(a *accepting) map[string]string {
	f.Helper()
	rec := a.acc.Record
	all := f.raw(rec)
	task, pending, _ := a.task.Waiting()
	for field, v := range f.rdb.HGetAll(f.Context(), task).Val() {
		all["task "+field] = v
	}
	all["pending"] = fmt.Sprint(slices.Contains(f.rdb.LRange(f.Context(), pending, 0, -1).Val(), a.task.ID))
	window := limitKey(rec.Token, rec.Kind)
	all["window"] = fmt.Sprint(f.rdb.ZRangeWithScores(f.Context(), window, 0, -1).Val())
	for name, key := range map[string]string{
		"record": opKey(rec.ID), "lock": lockKey(rec.Token, rec.Kind), "window": window, "task": task, "audit": auditKey(rec.Token.Shard()),
	} {
		ttl := f.rdb.PTTL(f.Context(), key).Val()
		all[name+" stays"] = fmt.Sprint(ttl.Round(time.Minute))
	}
	for _, e := range f.rdb.XRange(f.Context(), auditKey(rec.Token.Shard()), "-", "+").Val() {
		if e.Values["id"] == rec.ID {
			all["events"] += fmt.Sprint(e.Values)
		}
	}
	created := rec.Created.UnixMilli()
	names := strings.NewReplacer(rec.ID, "ID", rec.Token.Reveal(), "TOKEN", fmt.Sprint(created), "CREATED",
		fmt.Sprint(rec.Expires.UnixMilli()), "EXPIRES", fmt.Sprintf("%.12e", float64(created)), "CREATED",
		fmt.Sprint(created+DefaultGrace.Milliseconds()), "DUE", fmt.Sprint(redis.Z{Score: float64(created)}.Score), "CREATED")
	for k, v := range all {
		all[k] = names.Replace(v)
	}
	return all
}

func acceptAllIsAcceptOfEach(t *testing.T, f fixture) {
	for _, tc := range []struct {
		kind                           tasks.Kind
		reason, updatedBy, traceparent string
	}{
		{kind: tasks.RefreshPINStatus},
		{kind: tasks.UnblockCVV, reason: "call 17", updatedBy: "app"},
		{kind: tasks.UnblockPIN, traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
	} {
		const n = 5
		cards := neighbours(t, n+1)
		queue := tc.kind.FirstType().Policy().Queue
		all := requests(tc.kind, queueOf(t, cards[0]), cards...)
		for _, a := range all {
			a.req.Reason, a.req.UpdatedBy, a.req.Traceparent = tc.reason, tc.updatedBy, tc.traceparent
		}
		alone, all := all[n], all[:n]
		if f.store.acceptOne(t.Context(), alone); alone.err != nil {
			t.Fatalf("%s alone: %v", tc.kind, alone.err)
		}
		want := f.state(alone)
		if want["state"] != "accepted" || want["task msg"] == "" || want["pending"] != "true" || want["events"] == "" ||
			want["index waiting"] != "DUE" || want["created_ms"] != "CREATED" || (want["window"] == "[]") == tc.kind.Unblocks() {
			t.Fatalf("%s: the state of what is accepted alone: %v", tc.kind, want)
		}
		_, _, bell := alone.task.Waiting()
		rings := f.rdb.Subscribe(t.Context(), bell)
		if _, err := rings.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.rdb.Persist(t.Context(), auditKey(cards[0].Shard()))
		f.together(all)
		if m := receive(t, "the ring", rings.Channel()); m.Channel != bell {
			t.Errorf("%s: the ring is %v", tc.kind, m)
		}
		_ = rings.Close() // It has rung.
		for _, a := range all {
			if a.err != nil || a.left || !a.acc.Created || !a.acc.Enqueued || a.acc.TaskQueue != queue || !near(a.acc.Record.Created, f.now()) {
				t.Fatalf("%s: %+v, left %t, %v, want it accepted and enqueued", tc.kind, a.acc, a.left, a.err)
			}
			if diff := cmp.Diff(f.get(a.req.ID), a.acc.Record, cmpopts.EquateComparable(tasks.PublicToken{})); diff != "" {
				t.Errorf("%s: record (-read +accepted):\n%s", tc.kind, diff)
			}
			if diff := cmp.Diff(want, f.state(a)); diff != "" {
				t.Errorf("%s: what Redis has (-alone +together):\n%s", tc.kind, diff)
			}
		}
		_, pending, _ := all[0].task.Waiting()
		var ids []string
		for _, a := range slices.Backward(all) {
			ids = append(ids, a.task.ID)
		}
		if got := f.rdb.LRange(t.Context(), pending, 0, n-1).Val(); !slices.Equal(got, ids) {
			t.Errorf("%s: pending are %v, want them in their order, the first last: %v", tc.kind, got, ids)
		}
	}
}

// Each of these is accept's to judge.
func acceptAllLeavesWhatIsNotNew(t *testing.T, f fixture) {
	cards := neighbours(t, 5)
	queue := queueOf(t, cards[0])
	open := f.accept(Request{Kind: tasks.UnblockPIN, Card: cards[0]})
	f.done(f.accept(Request{Kind: tasks.UnblockPIN, Card: cards[1]}).Record, Result{Error: failure(tasks.CodeUnavailable)})
	all := requests(tasks.UnblockPIN, queue, cards[0], cards[1], cards[2], cards[3], cards[2], cards[4])
	recorded := all[3]
	f.store.acceptOne(t.Context(), recorded)
	if !recorded.acc.Created {
		t.Fatalf("the one that was recorded before: %+v, %v", recorded.acc, recorded.err)
	}
	f.rdb.Del(t.Context(), lockKey(recorded.req.Card, tasks.UnblockPIN), limitKey(recorded.req.Card, tasks.UnblockPIN))
	before := f.state(recorded)
	recorded.acc = Accepted{}
	f.together(all)
	for i, want := range []bool{true, true, false, true, true, false} {
		a := all[i]
		if a.err != nil || a.left != want || a.acc.Created == want {
			t.Errorf("request %d: left %t, created %t, %v, want it left: %t", i, a.left, a.acc.Created, a.err, want)
		}
		task, _, _ := a.task.Waiting()
		if n := f.rdb.Exists(t.Context(), task).Val(); i != 3 && n == 1 == want {
			t.Errorf("request %d has %d tasks; it was left: %t", i, n, want)
		}
		if _, err := f.store.Get(t.Context(), a.req.ID); i != 3 && errors.Is(err, ErrNotFound) != want {
			t.Errorf("request %d has a record: %v; it was left: %t", i, err, want)
		}
	}
	recorded.acc = Accepted{Record: f.get(recorded.req.ID)}
	if diff := cmp.Diff(before, f.state(recorded)); diff != "" {
		t.Errorf("what was recorded before (-before +after):\n%s", diff)
	}
	if got := f.get(open.ID); got.Version != 1 {
		t.Errorf("the open operation is %+v, want it as it was", got)
	}
	// And accept finds out.
	for i, want := range map[int]string{0: open.ID, 4: all[2].req.ID} {
		f.store.acceptOne(t.Context(), all[i])
		if a := all[i]; a.err != nil || a.acc.ID != want || !a.acc.Joined {
			t.Errorf("request %d: %s, joined %t, %v, want it to join %s", i, a.acc.ID, a.acc.Joined, a.err, want)
		}
	}
	// When there is nothing new, nothing is written.
	again := requests(tasks.UnblockPIN, queue, cards[0], cards[2])
	_, pending, _ := again[0].task.Waiting()
	waiting := f.rdb.LLen(t.Context(), pending).Val()
	f.together(again)
	if !again[0].left || !again[1].left || f.rdb.LLen(t.Context(), pending).Val() != waiting {
		t.Errorf("of two that may be open, left are %t and %t", again[0].left, again[1].left)
	}
}

// The queue is spoilt.
func acceptAllSucceedsWithoutItsTasks(t *testing.T, f fixture) {
	cards := neighbours(t, 3)
	all := requests(tasks.RefreshCVVStatus, queueOf(t, cards[0]), cards...)
	_, pending, _ := all[0].task.Waiting()
	if err := f.rdb.Set(t.Context(), pending, "not a list", time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	f.together(all)
	for i, a := range all {
		task, _, _ := a.task.Waiting()
		if a.err != nil || a.left || !a.acc.Created || a.acc.Enqueued || f.rdb.Exists(t.Context(), task).Val() != 0 {
			t.Errorf("request %d: created %t, enqueued %t, %v, want a task for the caller to enqueue", i, a.acc.Created, a.acc.Enqueued, a.err)
		}
		if _, waiting := f.indexed(a.acc.Record); !waiting {
			t.Errorf("recovery cannot find request %d", i)
		}
	}
}

func acceptAllRepeatedAcceptsOnce(t *testing.T, f fixture) {
	cards := neighbours(t, 3)
	f.together(requests(tasks.RefreshPINStatus, queueOf(t, cards[0]), cards[0])) // Redis knows the script now.
	all := requests(tasks.UnblockPIN, queueOf(t, cards[0]), cards...)
	f.withClient(twice{f.rdb}).together(all)
	for i, a := range all {
		if !a.left {
			t.Fatalf("request %d: %+v, %v, want it left, since it may be recorded", i, a.acc, a.err)
		}
		f.store.acceptOne(t.Context(), a)
		if a.err != nil || a.acc.ID != a.req.ID || a.acc.State != tasks.Accepted || a.acc.Joined {
			t.Errorf("request %d: %+v, %v, want the operation that was recorded", i, a.acc, a.err)
		}
		if n := f.rdb.ZCard(t.Context(), limitKey(a.req.Card, tasks.UnblockPIN)).Val(); n != 1 {
			t.Errorf("request %d counts %d times", i, n)
		}
	}
	_, pending, _ := all[0].task.Waiting()
	if n := f.rdb.LLen(t.Context(), pending).Val(); n != 4 {
		t.Errorf("%d tasks are pending, want 4", n)
	}
}

func acceptAllRefusedIsLeft(t *testing.T, f fixture) {
	cards := neighbours(t, 2)
	all := requests(tasks.UnblockPIN, queueOf(t, cards[0]), cards...)
	refusing := f.withClient(answering{f.rdb, redisError("OOM command not allowed when used memory > 'maxmemory'.")})
	refusing.together(all)
	if !all[0].left || !all[1].left || all[0].err != nil || refusing.store.Apart() {
		t.Errorf("refused by Redis: left are %t and %t, %v", all[0].left, all[1].left, all[0].err)
	}
	split := f.withClient(answering{f.rdb, redisError("CROSSSLOT Keys in request don't hash to the same slot")})
	split.together(all)
	if !all[0].left || !all[1].left || !split.store.Apart() {
		t.Errorf("in a cluster: left are %t and %t, apart %t, want all", all[0].left, all[1].left, split.store.Apart())
	}
	lost := f.withClient(answering{f.rdb, errors.New("connection reset")})
	lost.together(all)
	for i, a := range all {
		if a.left || a.err == nil || !strings.Contains(a.err.Error(), "connection reset") {
			t.Errorf("request %d, whose reply is lost: left %t, %v, want the error", i, a.left, a.err)
		}
	}
}

// What Redis refuses in the middle is neither lost nor accepted twice, and does not spoil the others.
func TestAcceptAll_WhatIsRefusedInTheMiddleIsFound(t *testing.T) {
	t.Parallel()
	rdb, _ := redistest.Shared(t)
	f := newFixture(t, rdb)
	cards := neighbours(t, 2)
	for c := card(t); ; c = card(t) {
		if c.Shard() != cards[0].Shard() {
			cards = append(cards, c)
			break
		}
	}
	if err := rdb.Set(t.Context(), auditKey(cards[0].Shard()), "no stream", 0).Err(); err != nil {
		t.Fatal(err)
	}
	all := requests(tasks.UnblockPIN, t.Name(), cards...)
	f.together(all)
	for i, a := range all {
		if !a.left {
			t.Fatalf("request %d: %+v, %v, want it left", i, a.acc, a.err)
		}
		f.store.acceptOne(t.Context(), a)
		if a.err != nil || a.acc.ID != a.req.ID || a.acc.State != tasks.Accepted {
			t.Errorf("request %d: %+v, %v, want its operation", i, a.acc, a.err)
			continue
		}
		if _, waiting := f.indexed(a.acc.Record); !waiting {
			t.Errorf("recovery cannot find request %d", i)
		}
		if n := rdb.ZCard(t.Context(), limitKey(a.req.Card, tasks.UnblockPIN)).Val(); n != 1 {
			t.Errorf("request %d counts %d times", i, n)
		}
	}
}

type redisError string

func (e redisError) Error() string { return string(e) }
func (redisError) RedisError()     {}

// answering answers every script with an error.
type answering struct {
	redis.UniversalClient
	err error
}

func (c answering) EvalSha(ctx context.Context, _ string, _ []string, _ ...any) *redis.Cmd {
	cmd := redis.NewCmd(ctx)
	cmd.SetErr(c.err)
	return cmd
}

func TestParseAccepted_RefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	for name, rest := range map[string][]any{
		"no expiry":      {"soon", int64(1), []any{}},
		"not enqueued":   {"17", "yes", []any{}},
		"no list":        {"17", int64(1)},
		"a word":         {"17", int64(1), "none"},
		"a word in it":   {"17", int64(1), []any{"one"}},
		"one before":     {"17", int64(1), []any{int64(0)}},
		"one too many":   {"17", int64(1), []any{int64(3)}},
		"nothing at all": nil,
	} {
		all := requests(tasks.UnblockPIN, "q", card(t), card(t))
		if err := accepted(all, tasks.TypeUnblockPIN, reply{outcome: "done", rest: rest}); !errors.Is(err, errReply) {
			t.Errorf("%s: %v, want %v", name, err, errReply)
		}
	}
}

// held lets no script through until it is open.
type held struct {
	redis.UniversalClient
	open  chan struct{}
	calls chan string // their scripts
}

func (h *held) EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) *redis.Cmd {
	h.calls <- sha1
	<-h.open
	return h.UniversalClient.EvalSha(ctx, sha1, keys, args...)
}

// Who comes while two are under way waits for one of them, and goes with the others.
func TestAccept_ManyAtOnceGoTogether(t *testing.T) {
	t.Parallel()
	for name, client := range map[string]func(testing.TB) (redis.UniversalClient, string){"server": redistest.Shared, "embedded": redistest.Embedded} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rdb, _ := client(t)
			f := newFixture(t, rdb)
			gate := &held{UniversalClient: rdb, open: make(chan struct{}), calls: make(chan string, 1000)}
			store := f.withClient(gate).store
			queue := t.Name()
			task := func(_ context.Context, id string) (doorbell.Task, error) {
				return doorbell.Task{Queue: queue, ID: TaskID(id, 1), Message: "a message", Since: 1}, nil
			}
			// Of three kinds, over all shards, each card twice and with another reason each time.
			const n = 300
			kinds := []tasks.Kind{tasks.UnblockPIN, tasks.RefreshPINStatus, tasks.RefreshCVVStatus}
			var cards []tasks.PublicToken
			for range n / 2 {
				cards = append(cards, card(t))
			}
			accs, errs := make([]Accepted, n), make([]error, n)
			var running sync.WaitGroup
			for i := range n {
				running.Go(func() {
					accs[i], errs[i] = store.Accept(t.Context(), Request{
						Kind: kinds[i/2%len(kinds)], Card: cards[i/2], Lifetime: time.Minute, Reason: fmt.Sprint("try ", i%2), Task: task,
					})
				})
			}
			receive(t, "a first call", gate.calls)
			receive(t, "a second", gate.calls)
			eventually(t, "the others wait", func() bool { return store.accepts.Waiting() == n-2 })
			close(gate.open)
			running.Wait()
			ids := map[string]int{}
			for i := range n {
				if errs[i] != nil || accs[i].Token != cards[i/2] || accs[i].Kind != kinds[i/2%len(kinds)] || accs[i].Created == accs[i].Joined ||
					accs[i].Created && !accs[i].Enqueued {
					t.Fatalf("request %d: %+v, %v", i, accs[i], errs[i])
				}
				if accs[i].Created {
					ids[accs[i].ID]++
				}
				if other := accs[i^1]; accs[i].ID != other.ID {
					t.Errorf("request %d is %s and the other of its card %s", i, accs[i].ID, other.ID)
				}
			}
			if got := rdb.LLen(t.Context(), doorbell.DequeueKeys(queue)[0]).Val(); got != n/2 || len(ids) != n/2 {
				t.Errorf("%d tasks are pending and %d operations were made, want %d", got, len(ids), n/2)
			}
			for id := range ids {
				if rec := f.get(id); rec.Version != 1 || rec.State != tasks.Accepted {
					t.Errorf("the record is %+v, want it as accepted", rec)
				}
			}
			close(gate.calls)
			count := map[string]int{}
			for sha := range gate.calls {
				count[sha]++
			}
			if all := count[acceptAllScript.Hash()]; all < 3 || all > 20 {
				t.Errorf("%d calls accepted several, want a few", all)
			}
		})
	}
}
