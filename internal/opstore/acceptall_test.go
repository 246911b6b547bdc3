package opstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/coalesce"
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

// together accepts requests that came at the same time.
func (f fixture) together(all []*accepting) {
	f.Helper()
	f.togetherWith(f.Context(), all)
}

func (f fixture) togetherWith(ctx context.Context, all []*accepting) {
	f.Helper()
	calls := make([]*acceptingCall, len(all))
	for i, a := range all {
		calls[i] = coalesce.NewCall(ctx, a)
	}
	f.store.acceptAll(f.Context(), calls)
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
			if a.err != nil || a.alone || !a.acc.Created || !a.acc.Enqueued || a.acc.TaskQueue != queue || !near(a.acc.Record.Created, f.now()) {
				t.Fatalf("%s: %+v, alone %t, %v, want it accepted and enqueued", tc.kind, a.acc, a.alone, a.err)
			}
			if diff := gocmp.Diff(f.get(a.req.ID), a.acc.Record, cmpopts.EquateComparable(tasks.PublicToken{})); diff != "" {
				t.Errorf("%s: record (-read +accepted):\n%s", tc.kind, diff)
			}
			if diff := gocmp.Diff(want, f.state(a)); diff != "" {
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

// What is not new is what accept would find it to be.
func acceptAllJudgesWhatIsNotNew(t *testing.T, f fixture) {
	f = f.with(Config{UnblockLimit: 2, ResultTTL: time.Hour})
	f.store.apart.Store(false)
	cards := neighbours(t, 7)
	queue := queueOf(t, cards[0])
	ended := func(c tasks.PublicToken) {
		f.done(f.accept(Request{Kind: tasks.UnblockPIN, Card: c}).Record, Result{Error: failure(tasks.CodeUnavailable)})
	}
	open := f.accept(Request{Kind: tasks.UnblockPIN, Card: cards[0]})
	ended(cards[1])
	ended(cards[2])
	ended(cards[2])
	overdue := f.accept(Request{Kind: tasks.UnblockPIN, Card: cards[3]})
	f.past(overdue.ID, "expires_ms")
	f.zadd(leasedKey(overdue.Token.Shard()), overdue.ID, -time.Minute)
	all := requests(tasks.UnblockPIN, queue, cards[4])
	recorded := all[0]
	f.together(all)
	if !recorded.acc.Created {
		t.Fatalf("the one that is recorded before: %+v, %v", recorded.acc, recorded.err)
	}
	f.rdb.Del(t.Context(), lockKey(recorded.req.Card, tasks.UnblockPIN), limitKey(recorded.req.Card, tasks.UnblockPIN))

	all = requests(tasks.UnblockPIN, queue, cards[0], cards[1], cards[2], cards[3], cards[4], cards[5], cards[5], cards[6])
	all[4] = recorded
	for _, a := range all {
		a.req.Reason, a.req.Traceparent = "again", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	}
	f.together(all)
	for i, want := range []struct {
		id       string // "" is its own
		created  bool
		joined   bool
		unblocks int64
	}{
		{id: open.ID, joined: true, unblocks: 1},
		{created: true, unblocks: 2},
		{unblocks: 2}, // There have been two.
		{created: true, unblocks: 2},
		{unblocks: 0},
		{created: true, unblocks: 1},
		{id: all[5].req.ID, joined: true, unblocks: 1},
		{created: true, unblocks: 1},
	} {
		a := all[i]
		if n := f.rdb.ZCard(t.Context(), limitKey(a.req.Card, tasks.UnblockPIN)).Val(); n != want.unblocks {
			t.Errorf("request %d: its card has had %d unblocks, want %d", i, n, want.unblocks)
		}
		if limit := (*LimitError)(nil); i == 2 {
			if a.alone || !errors.As(a.err, &limit) || limit.Limit != 2 || limit.RetryAfter < 23*time.Hour {
				t.Errorf("request %d: %+v, %v, want the limit", i, a.acc, a.err)
			}
			continue
		}
		id := cmp.Or(want.id, a.req.ID)
		if a.err != nil || a.alone || a.acc.ID != id || a.acc.Created != want.created || a.acc.Joined != want.joined || a.acc.Enqueued != want.created {
			t.Errorf("request %d: %+v, alone %t, %v, want %+v", i, a.acc, a.alone, a.err, want)
			continue
		}
		got := f.get(id)
		if diff := gocmp.Diff(got, a.acc.Record, cmpopts.EquateComparable(tasks.PublicToken{})); diff != "" {
			t.Errorf("request %d (-read +accepted):\n%s", i, diff)
		}
		if task, _, _ := a.task.Waiting(); want.created {
			if msg := f.rdb.HGet(t.Context(), task, "msg").Val(); msg != a.task.Message || got.Reason != "again" || got.Traceparent != a.req.Traceparent {
				t.Errorf("request %d has the task %q and the record %+v", i, msg, got)
			}
		}
	}
	if old := all[3].acc.Ended; old == nil || old.ID != overdue.ID || old.Error.Code != tasks.CodeExpired || f.get(overdue.ID).State != tasks.Failed {
		t.Errorf("the one whose time was over: %+v, want it ended", old)
	}
	if leased, waiting := f.indexed(overdue.Record); leased || waiting {
		t.Errorf("the one that ended is in the index of leases: %t, of waiting: %t", leased, waiting)
	}
	if ttl := f.rdb.PTTL(t.Context(), opKey(overdue.ID)).Val(); ttl <= 0 || ttl > time.Hour {
		t.Errorf("the one that ended stays for %s, want an hour", ttl)
	}
	_, pending, _ := recorded.task.Waiting()
	if n := f.rdb.LLen(t.Context(), pending).Val(); n != 5 {
		t.Errorf("%d tasks are pending, want that of each operation that was made", n)
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
		if a.err != nil || a.alone || !a.acc.Created || a.acc.Enqueued || f.rdb.Exists(t.Context(), task).Val() != 0 {
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
		if a.err != nil || a.alone || a.acc.Created || a.acc.Joined || a.acc.ID != a.req.ID || a.acc.State != tasks.Accepted {
			t.Errorf("request %d: %+v, alone %t, %v, want the operation that was recorded", i, a.acc, a.alone, a.err)
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

// What is not new takes longer, and nobody else is served meanwhile.
func acceptAllComesToAnEnd(t *testing.T, f fixture) {
	f = f.with(Config{UnblockLimit: 1})
	f.store.apart.Store(false)
	cards := neighbours(t, 2)
	f.zadd(limitKey(cards[0], tasks.UnblockPIN), "an earlier one", -time.Hour)
	f.accept(Request{Kind: tasks.UnblockPIN, Card: cards[1], Lifetime: time.Hour})
	for name, tc := range map[string]struct {
		card tasks.PublicToken
		want int
	}{"at the limit": {cards[0], 16}, "joining": {cards[1], acceptStep}} {
		var all []*accepting
		for range acceptStep {
			all = append(all, requests(tasks.UnblockPIN, queueOf(t, tc.card), tc.card)...)
		}
		f.together(all)
		judged := 0
		for i, a := range all {
			if !a.alone {
				judged++
			}
			if limit := (*LimitError)(nil); !a.alone && errors.As(a.err, &limit) == a.acc.Joined {
				t.Errorf("%s, request %d: %+v, %v", name, i, a.acc, a.err)
			}
		}
		if judged != tc.want {
			t.Errorf("%s: %d of %d were judged in one step, want %d", name, judged, len(all), tc.want)
		}
	}
}

func acceptAllRefusedIsAcceptedAlone(t *testing.T, f fixture) {
	cards := neighbours(t, 2)
	all := requests(tasks.UnblockPIN, queueOf(t, cards[0]), cards...)
	refusing := f.withClient(answering{f.rdb, redisError("OOM command not allowed when used memory > 'maxmemory'.")})
	refusing.together(all)
	if !all[0].alone || !all[1].alone || all[0].err != nil || refusing.store.Apart() {
		t.Errorf("refused by Redis: alone are %t and %t, %v", all[0].alone, all[1].alone, all[0].err)
	}
	all = requests(tasks.UnblockPIN, queueOf(t, cards[0]), cards...)
	lost := f.withClient(answering{f.rdb, errors.New("connection reset")})
	lost.together(all)
	for i, a := range all {
		if a.alone || a.err == nil || !strings.Contains(a.err.Error(), "accept unblock_pin: connection reset") {
			t.Errorf("request %d, whose reply is lost: alone %t, %v, want the error", i, a.alone, a.err)
		}
	}
}

// Who has left was told so, and the card is not unblocked afterwards.
func acceptAllAcceptsNothingOfThoseWhoLeft(t *testing.T, f fixture) {
	cards := neighbours(t, 4)
	queue := queueOf(t, cards[0])
	gone, leave := context.WithCancel(t.Context())
	leave()
	all := requests(tasks.UnblockPIN, queue, cards...)
	var calls []*acceptingCall
	for i, a := range all {
		ctx := t.Context()
		if i%2 == 0 {
			ctx = gone
		}
		calls = append(calls, coalesce.NewCall(ctx, a))
	}
	f.store.acceptAll(t.Context(), calls)
	for i, a := range all {
		_, err := f.store.Get(t.Context(), a.req.ID)
		if here := i%2 == 1; a.acc.Created != here || errors.Is(err, ErrNotFound) == here || calls[i].Left() == here {
			t.Errorf("request %d: created %t, read %v, left %t, want it accepted: %t", i, a.acc.Created, err, calls[i].Left(), here)
		}
	}
	nobody := requests(tasks.UnblockPIN, queue, cards[0], cards[2])
	f.togetherWith(gone, nobody)
	for i, a := range nobody {
		if _, err := f.store.Get(t.Context(), a.req.ID); a.acc.Created || !errors.Is(err, ErrNotFound) {
			t.Errorf("request %d of nobody: created %t, read %v", i, a.acc.Created, err)
		}
	}
}

// steps notes how many requests each command of a pipeline accepts.
type steps struct{ sizes []int }

func (*steps) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (*steps) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (s *steps) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			if args := cmd.Args(); args[1] == acceptAllScript.Hash() {
				s.sizes = append(s.sizes, (len(args)-3-2-15)/5)
			}
		}
		return next(ctx, cmds)
	}
}

func TestAcceptAll_NoStepHoldsRedisUpForLong(t *testing.T) {
	t.Parallel()
	rdb, _ := redistest.Shared(t)
	seen := &steps{}
	rdb.AddHook(seen)
	var cards []tasks.PublicToken
	for range 2*acceptStep + 3 {
		cards = append(cards, card(t))
	}
	all := append(requests(tasks.UnblockPIN, t.Name(), cards...), requests(tasks.RefreshPINStatus, t.Name(), cards[0])...)
	newFixture(t, rdb).together(all)
	if want := []int{acceptStep, acceptStep, 3, 1}; !slices.Equal(seen.sizes, want) {
		t.Errorf("the steps accept %v, want %v in one round trip", seen.sizes, want)
	}
	for i, a := range all {
		if !a.acc.Created || a.err != nil {
			t.Errorf("request %d: %+v, %v", i, a.acc, a.err)
		}
	}
}

// A cluster sees that the script is not for it, whatever the cards.
func TestAcceptAll_AClusterIsRefused(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 3)
	addr := cluster.Client(t).(*redis.ClusterClient).Options().Addrs[0]
	rdb := redis.NewClient(&redis.Options{Addr: addr})
	defer rdb.Close()
	store := New(rdb, Config{})
	for range 5 {
		all := requests(tasks.RefreshPINStatus, "refresh", neighbours(t, 2)...)
		store.apart.Store(false)
		fixture{t, rdb, store}.together(all)
		if !all[0].alone || !all[1].alone || !store.Apart() {
			t.Errorf("of %s: alone %t and %t, apart %t, want all", all[0].req.Card.Shard(), all[0].alone, all[1].alone, store.Apart())
		}
	}
}

// What Redis refuses in the middle is neither lost nor accepted twice, and does not spoil the others.
func TestAcceptAll_WhatIsRefusedInTheMiddleIsFound(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]func(shard string) string{
		"audit":   auditKey,
		"waiting": func(shard string) string { return waitingKey(shard, tasks.UnblockPIN) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rdb, _ := redistest.Shared(t)
			f := newFixture(t, rdb)
			bad := card(t).Shard()
			if err := rdb.Set(t.Context(), key(bad), "neither stream nor index", 0).Err(); err != nil {
				t.Fatal(err)
			}
			// Every other card has had an unblock, and is judged by itself.
			had := func(i int) int64 { return int64(i % 2) }
			var cards []tasks.PublicToken
			for i := range 5 * tasks.Shards {
				cards = append(cards, card(t))
				if had(i) == 1 {
					f.zadd(limitKey(cards[i], tasks.UnblockPIN), "an earlier one", -time.Hour)
				}
			}
			all := requests(tasks.UnblockPIN, t.Name(), cards...)
			f.together(all)
			good := 0
			for i, a := range all {
				if a.alone {
					f.store.acceptOne(t.Context(), a)
				}
				spoilt := tasks.ShardOf(a.req.ID) == bad
				if a.err != nil {
					if !spoilt {
						t.Errorf("request %d: %v, want it accepted", i, a.err)
					}
					continue
				}
				good++
				if a.acc.ID != a.req.ID || a.acc.State != tasks.Accepted {
					t.Errorf("request %d: %+v, want its operation", i, a.acc)
				}
				if n := rdb.ZCard(t.Context(), limitKey(a.req.Card, tasks.UnblockPIN)).Val(); n != 1+had(i) {
					t.Errorf("request %d counts %d times", i, n-had(i))
				}
				if spoilt && name == "waiting" {
					t.Errorf("request %d was accepted, and recovery cannot find it", i)
					continue
				}
				if _, waiting := f.indexed(a.acc.Record); !waiting {
					t.Errorf("recovery cannot find request %d", i)
				}
				if events := f.state(a)["events"]; !spoilt && !strings.Contains(events, "accepted") {
					t.Errorf("the events of request %d are %q", i, events)
				}
			}
			if good < len(all)/2 {
				t.Errorf("%d of %d were accepted", good, len(all))
			}
		})
	}
}

type redisError string

func (e redisError) Error() string { return string(e) }
func (redisError) RedisError()     {}

// answering answers everything with an error.
type answering struct {
	redis.UniversalClient
	err error
}

func (c answering) Process(_ context.Context, cmd redis.Cmder) error {
	cmd.SetErr(c.err)
	return c.err
}

func TestAcceptingStep_RefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	for name, rest := range map[string][]any{
		"no expiry":      {"soon", int64(1), []any{}, []any{}},
		"not enqueued":   {"17", "yes", []any{}, []any{}},
		"no list":        {"17", int64(1)},
		"a word":         {"17", int64(1), "none", []any{}},
		"a number in it": {"17", int64(1), []any{int64(1)}, []any{}},
		"no replies":     {"17", int64(1), []any{}},
		"no pairs":       {"17", int64(1), []any{}, []any{"id"}},
		"no reply":       {"17", int64(1), []any{}, []any{"id", "joined"}},
		"no name":        {"17", int64(1), []any{}, []any{int64(1), []any{"limit", int64(1)}}},
		"no time":        {"17", int64(1), []any{}, []any{"id", []any{"limit", "soon"}}},
		"nothing at all": nil,
	} {
		step := &acceptingStep{form: form{kind: tasks.UnblockPIN}}
		if err := step.accepted(reply{outcome: "done", rest: rest}); !errors.Is(err, errReply) {
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

func (h *held) Process(ctx context.Context, cmd redis.Cmder) error {
	h.calls <- fmt.Sprint(cmd.Args()[1])
	<-h.open
	return h.UniversalClient.Process(ctx, cmd)
}

func (h *held) Pipeline() redis.Pipeliner {
	h.calls <- "several"
	<-h.open
	return h.UniversalClient.Pipeline()
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
			steps := 0
			for call := range gate.calls {
				if call == "several" || call == acceptAllScript.Hash() {
					steps++
				}
			}
			if steps < 3 || steps > 20 {
				t.Errorf("%d round trips accepted several, want a few", steps)
			}
		})
	}
}

// With a name, a key or an end of its own a request may have been there before, and goes by itself.
func TestAccept_WhatIsNotForTheOthersDoesNotWaitForThem(t *testing.T) {
	t.Parallel()
	rdb, _ := redistest.Shared(t)
	gate := &held{UniversalClient: rdb, open: make(chan struct{}), calls: make(chan string, 100)}
	store := newFixture(t, rdb).withClient(gate).store
	named := card(t)
	all := []Request{
		{Card: card(t)}, {Card: card(t)}, // These two are under way.
		{Card: named, ID: NewID(named)}, {Card: card(t), Key: idemKeyOf(t)}, {Card: card(t), Expires: time.Now().Add(time.Hour)},
	}
	var running sync.WaitGroup
	for _, req := range all {
		req.Kind, req.Lifetime, req.Task = tasks.UnblockPIN, time.Minute, firstOf
		running.Go(func() {
			if acc, err := store.Accept(t.Context(), req); err != nil || !acc.Created {
				t.Errorf("Accept = %+v, %v", acc, err)
			}
		})
		receive(t, "its call", gate.calls)
	}
	close(gate.open)
	running.Wait()
}
