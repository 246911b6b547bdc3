package opstore

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/tasks"
)

// tokenIsInTheRecordAlone takes operations of every kind through every script, and then looks for the
// full public token in every key, value and channel.
func tokenIsInTheRecordAlone(t *testing.T, f fixture) {
	heard := listen(t, f.rdb)
	c := card(t)
	f = f.with(Config{UnblockLimit: 3})
	key := idemKeyOf(t)
	var errs []error
	try := func(_ any, err error) { errs = append(errs, err) }
	for _, kind := range tasks.Kinds() {
		rec := f.accept(Request{Kind: kind, Card: c, Key: key + string(kind), Reason: "r", UpdatedBy: "u"}).Record
		try(f.store.Accept(t.Context(), Request{Kind: kind, Card: c, Key: key, ID: NewID(c), Lifetime: time.Minute}))
		b := f.begun(rec, Lease{}, Go)
		_, lost, err := f.store.Extend(t.Context(), []Lease{b.Lease})
		try(lost, err)
		try(nil, f.store.Yield(t.Context(), b.Lease, rec.TaskType, Progress{Status: unblocked(), Code: tasks.CodeUnavailable}))
		try(f.store.Redispatch(t.Context(), f.get(rec.ID)))
		try(nil, f.store.Postpone(t.Context(), rec.ID, f.get(rec.ID), time.Minute))
		b = f.begun(f.get(rec.ID), Lease{}, Go)
		if kind.Unblocks() {
			try(f.store.Chain(t.Context(), b.Lease, kind))
			b = f.begun(f.get(rec.ID), Lease{}, Go)
		}
		f.finish(b, Result{Error: failure(tasks.CodeUnconfirmed), Status: unblocked()})
		try(f.store.Finish(t.Context(), b.Lease, b.Record, Result{Status: unblocked()}))
		try(f.store.Redrive(t.Context(), rec.ID, time.Minute))
		try(f.store.Redrive(t.Context(), rec.ID, time.Minute))
		f.set(rec.ID, "fence", "not a number")
		try(f.store.Get(t.Context(), rec.ID))
		f.set(rec.ID, "fence", 9)
		f.finish(f.begun(f.get(rec.ID), Lease{}, Go), Result{Status: unblocked()})
	}
	for range 4 {
		f.unblockUntilRefused(c)
	}
	secret := c.Reveal()
	for _, err := range errs {
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("error %q has the token", err)
		}
	}
	where := map[string]int{}
	dump(t, f.rdb, func(place, text string) {
		if strings.Contains(text, secret) {
			where[place]++
		}
	})
	for place := range where {
		if place != "hash field token" {
			t.Errorf("the token is in a %s, %d times", place, where[place])
		}
	}
	if where["hash field token"] < len(tasks.Kinds()) {
		t.Errorf("the token is in %d records, want at least %d: the search is no good", where["hash field token"], len(tasks.Kinds()))
	}
	messages := heard()
	if len(messages) == 0 {
		t.Error("no message was heard: the search is no good")
	}
	for _, m := range messages {
		if strings.Contains(m, secret) {
			t.Errorf("the message %q has the token", m)
		}
	}
}

func (f fixture) unblockUntilRefused(c tasks.PublicToken) {
	f.Helper()
	acc, err := f.store.Accept(f.Context(), Request{Kind: tasks.UnblockPIN, Card: c, Lifetime: time.Minute})
	if err != nil {
		if strings.Contains(err.Error(), c.Reveal()) {
			f.Errorf("error %q has the token", err)
		}
		return
	}
	f.done(acc.Record, Result{Status: unblocked()})
}

// dump shows the name and all contents of every key of ours.
func dump(t testing.TB, rdb redis.UniversalClient, show func(place, text string)) {
	t.Helper()
	ctx := t.Context()
	var mu sync.Mutex
	node := func(ctx context.Context, rdb redis.Cmdable) error {
		iter := rdb.Scan(ctx, 0, "cardworker:*", 1000).Iterator()
		for iter.Next(ctx) {
			key := iter.Val()
			kind, err := rdb.Type(ctx, key).Result()
			if err != nil {
				return err
			}
			mu.Lock()
			show("key name", key)
			mu.Unlock()
			fields, err := contents(ctx, rdb, kind, key)
			if err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
			mu.Lock()
			for place, text := range fields {
				show(kind+" field "+place, text)
				show(kind+" field name", place)
			}
			mu.Unlock()
		}
		return iter.Err()
	}
	var err error
	if cluster, ok := rdb.(*redis.ClusterClient); ok {
		err = cluster.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error { return node(ctx, c) })
	} else {
		err = node(ctx, rdb)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// contents returns the contents of a key; hash fields under their names.
func contents(ctx context.Context, rdb redis.Cmdable, kind, key string) (map[string]string, error) {
	switch kind {
	case "hash":
		return rdb.HGetAll(ctx, key).Result()
	case "string":
		v, err := rdb.Get(ctx, key).Result()
		if err == redis.Nil { // It has just gone.
			return nil, nil
		}
		return map[string]string{"": v}, err
	case "zset":
		members, err := rdb.ZRange(ctx, key, 0, -1).Result()
		return map[string]string{"": strings.Join(members, "\n")}, err
	case "stream":
		msgs, err := rdb.XRange(ctx, key, "-", "+").Result()
		return map[string]string{"": fmt.Sprint(msgs)}, err
	case "none":
		return nil, nil
	default:
		return nil, fmt.Errorf("keys of type %s are not looked into", kind)
	}
}

// listen hears every message until the function that it returns is called.
func listen(t testing.TB, rdb redis.UniversalClient) func() []string {
	t.Helper()
	ps := rdb.PSubscribe(t.Context(), "*")
	if _, err := ps.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	var (
		wg  sync.WaitGroup
		out []string
	)
	msgs := ps.Channel(redis.WithChannelSize(100_000))
	wg.Go(func() {
		for m := range msgs {
			out = append(out, m.Channel+" "+m.Payload)
			if m.Payload == "enough" {
				return
			}
		}
	})
	return func() []string {
		t.Helper()
		if err := rdb.Publish(t.Context(), t.Name(), "enough").Err(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if err := ps.Close(); err != nil {
			t.Fatal(err)
		}
		return out
	}
}
