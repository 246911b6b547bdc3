package opstore

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/tasks"
)

func (f fixture) watcher() *Watcher {
	w := f.store.NewWatcher()
	f.Cleanup(func() {
		if err := w.Close(); err != nil {
			f.Errorf("close the watcher: %v", err)
		}
	})
	return w
}

func watch(t testing.TB, w *Watcher, id string) *Watch {
	t.Helper()
	x, err := w.Watch(id)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func watchTellsOfEveryChange(t *testing.T, f fixture) {
	w := f.watcher()
	rec := f.open(tasks.UnblockPIN)
	x := watch(t, w, rec.ID)
	receive(t, "the watch is effective", x.C)

	var b Begun
	change := func(what string, do func() error) {
		t.Helper()
		if err := do(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		receive(t, what, x.C)
	}
	change("begin", func() (err error) { b = f.begun(rec, Lease{}, Go); return nil })
	change("yield", func() error { return f.store.Yield(t.Context(), b.Lease, rec.TaskType, Progress{}) })
	change("redispatch", func() error { _, err := f.store.Redispatch(t.Context(), f.get(rec.ID)); return err })
	change("begin again", func() error { b = f.begun(f.get(rec.ID), Lease{}, Go); return nil })
	change("chain", func() error { _, err := f.store.Chain(t.Context(), b.Lease, rec.Kind); return err })
	change("begin to confirm", func() error { b = f.begun(f.get(rec.ID), Lease{}, Go); return nil })
	change("finish", func() error {
		_, err := f.store.Finish(t.Context(), b.Lease, b.Record, Result{Error: failure(tasks.CodeUnconfirmed)})
		return err
	})
	change("redrive", func() error { _, err := f.store.Redrive(t.Context(), rec.ID, time.Minute); return err })

	second := watch(t, w, rec.ID)
	receive(t, "a second watch of one operation", second.C)
	x.Close()
	x.Close()
	f.begun(f.get(rec.ID), Lease{}, Go)
	receive(t, "a change after the first watch was closed", second.C)
	second.Close()
	third := watch(t, w, rec.ID) // Perhaps before the channel was left, perhaps after.
	receive(t, "a watch after the last was closed", third.C)
}

// Not a fact of every Redis: where a first subscription has to be tried twice, each try may wake.
func TestWatch_OneOperationDoesNotWakeAnother(t *testing.T) {
	t.Parallel()
	client, _ := redistest.Shared(t)
	f := newFixture(t, client)
	w := f.watcher()
	rec, other := f.open(tasks.UnblockPIN), f.open(tasks.UnblockPIN)
	x, y := watch(t, w, rec.ID), watch(t, w, other.ID)
	receive(t, "the watch is effective", x.C)
	receive(t, "the other watch is effective", y.C)
	f.done(rec, Result{Status: unblocked()})
	receive(t, "a change", x.C)
	select {
	case <-y.C:
		t.Error("a change of one operation woke the watch of another")
	default:
	}
}

// Whoever waits for the end need not look at what leaves an operation open.
func TestWatch_TellsWhatMayBeTheEnd(t *testing.T) {
	t.Parallel()
	w := &Watcher{watches: map[string]map[*Watch]struct{}{}, changed: map[string]struct{}{}}
	x := &Watch{c: make(chan struct{}, 1), ended: make(chan Ending, 1)}
	w.watches["op"] = map[*Watch]struct{}{x: {}}
	msgs := make(chan any)
	go w.dispatch(msgs)
	defer close(msgs)
	for _, tc := range []struct {
		msg  any
		want bool
	}{
		{&redis.Subscription{Kind: "subscribe", Channel: "op"}, true},
		{&redis.Message{Channel: "op", Payload: "accepted"}, false},
		{&redis.Message{Channel: "op", Payload: "running"}, false},
		{&redis.Message{Channel: "op", Payload: "confirming"}, false},
		{&redis.Message{Channel: "op", Payload: "succeeded"}, true},
		{&redis.Message{Channel: "op", Payload: "failed"}, true},
		{&redis.Message{Channel: "op", Payload: "7"}, true}, // Of another release.
	} {
		msgs <- tc.msg
		msgs <- &redis.Message{Channel: "another"} // When this is taken the one before is done with.
		receive(t, "a change", x.c)
		ended := false
		select {
		case <-x.ended:
			ended = true
		default:
		}
		if ended != tc.want {
			t.Errorf("%v may be the end: %t, want %t", tc.msg, ended, tc.want)
		}
	}
}

// What the scripts publish is the state, and of an end all that has changed.
func TestWatch_AnEndIsToldAtOnce(t *testing.T) {
	t.Parallel()
	client, _ := redistest.Shared(t)
	f := newFixture(t, client)
	rec := f.open(tasks.UnblockPIN)
	said := f.rdb.Subscribe(t.Context(), opKey(rec.ID))
	defer func() { _ = said.Close() }()
	if _, err := said.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.finish(f.handover(f.store, f.begun(rec, Lease{}, Go)), Result{Status: unblocked()})
	for _, want := range []string{"running", "confirming", "succeeded"} {
		if m, err := said.ReceiveMessage(t.Context()); err != nil || strings.Split(m.Payload, "\n")[0] != want {
			t.Fatalf("published: %v, %v, want %s", m, err, want)
		}
	}
}

func TestWatch_TellsAfterTheConnectionWasLost(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	f := newFixture(t, server.Client(t))
	w := f.watcher()
	rec := f.open(tasks.UnblockPIN)
	x := watch(t, w, rec.ID)
	receive(t, "the watch is effective", x.C)
	for range 3 {
		eventually(t, "the connection is there to be killed", func() bool {
			return f.rdb.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Val() == 1
		})
		receive(t, "the watch is effective again", x.C)
	}
	b := f.begun(rec, Lease{}, Go)
	receive(t, "a change", x.C)
	f.finish(b, Result{Status: unblocked()})
	receive(t, "another change", x.C)
}

func TestWatch_ThousandsShareOneConnection(t *testing.T) {
	t.Parallel()
	const many = 10_000
	server := redistest.Start(t)
	f := newFixture(t, server.Client(t))
	w := f.watcher()
	watches := make([]*Watch, many)
	for i := range watches {
		watches[i] = watch(t, w, NewID(card(t)))
	}
	for _, x := range watches {
		receive(t, "a watch is effective", x.C)
	}
	list := f.rdb.ClientList(t.Context()).Val()
	subscribed := 0
	for line := range strings.Lines(list) {
		if !strings.Contains(line, " sub=0 ") {
			subscribed++
		}
	}
	if subscribed != 1 || !strings.Contains(list, " sub=10000 ") {
		t.Errorf("%d connections are subscribed, want one with %d channels; clients:\n%.2000s", subscribed, many, list)
	}
	for _, x := range watches {
		x.Close()
	}
	eventually(t, "the channels are left", func() bool {
		return !strings.Contains(f.rdb.Do(t.Context(), "PUBSUB", "CHANNELS").String(), "cardworker")
	})
}

// Ten thousand who gave up waiting must not queue up behind a Redis that does not answer.
func TestWatch_NobodyWaitsForRedis(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	f := newFixture(t, server.Client(t))
	w := f.watcher()
	var watches []*Watch
	for range 200 {
		watches = append(watches, watch(t, w, NewID(card(t))))
	}
	for _, x := range watches {
		receive(t, "a watch is effective", x.C)
	}
	server.Kill()
	done := make(chan time.Duration, 1)
	go func() {
		start := time.Now()
		for _, x := range watches {
			watch(t, w, NewID(card(t)))
			x.Close()
		}
		done <- time.Since(start)
	}()
	if took := receive(t, "watches are closed and begun", done); took > time.Second {
		t.Errorf("with Redis away, 200 watches took %s to close, want no wait", took)
	}
}

func TestWatcher_CloseEndsEverything(t *testing.T) {
	t.Parallel()
	client, _ := redistest.Shared(t)
	f := newFixture(t, client)
	w := f.store.NewWatcher()
	rec := f.open(tasks.UnblockPIN)
	x := watch(t, w, rec.ID)
	receive(t, "the watch is effective", x.C)
	for range 2 {
		if err := w.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	}
	receive(t, "the watch is told", x.Closed)
	x.Close()
	if _, err := w.Watch(rec.ID); !errors.Is(err, redis.ErrClosed) {
		t.Errorf("Watch of a closed watcher = %v, want redis.ErrClosed", err)
	}
	if err := f.store.NewWatcher().Close(); err != nil {
		t.Errorf("Close of an unused watcher = %v", err)
	}
}

func TestWatcher_CloseWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	f := newFixture(t, server.Client(t))
	w := f.store.NewWatcher()
	server.Kill()
	watch(t, w, NewID(card(t)))
	done := make(chan error, 1)
	go func() { done <- w.Close() }()
	if err := receive(t, "the watcher is closed", done); err != nil {
		t.Errorf("Close = %v", err)
	}
}
