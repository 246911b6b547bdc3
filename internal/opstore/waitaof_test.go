package opstore

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"
)

// waiting is a Redis that knows WAITAOF, whichever version the machine has, and remembers what came over
// which connection.
type waiting struct {
	*redis.Client

	mu       sync.Mutex
	commands []command
	synced   int // what WAITAOF answers
}

type command struct {
	conn *server.Peer
	name string
}

func startWaiting(t testing.TB) *waiting {
	t.Helper()
	m := miniredis.RunT(t)
	w := &waiting{Client: redis.NewClient(&redis.Options{Addr: m.Addr(), DisableIdentity: true}), synced: 1}
	t.Cleanup(func() { _ = w.Close() })
	names := map[string]string{}
	for _, name := range []string{"accept", "reserve", "settle", "rebind", "redrive", "finish", "begin"} {
		names[script(name).Hash()] = name
	}
	err := m.Server().Register("WAITAOF", func(c *server.Peer, _ string, args []string) {
		if len(args) != 3 || args[0] != "1" || args[1] != "0" || args[2] == "0" {
			t.Errorf("WAITAOF %v, want one disk, no replica, and a timeout", args)
		}
		c.Block(func(out *server.Writer) {
			w.mu.Lock()
			defer w.mu.Unlock()
			out.WriteLen(2)
			out.WriteInt(w.synced)
			out.WriteInt(0)
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	m.Server().SetPreHook(func(c *server.Peer, name string, args ...string) bool {
		switch name { // The commands of a script come along here too.
		case "EVALSHA":
			name = names[args[0]]
		case "WAIT", "WAITAOF", "CONFIG", "INFO":
		default:
			return false
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.commands = append(w.commands, command{c, name})
		return false
	})
	return w
}

// take returns what has come since it was last asked.
func (w *waiting) take() []command {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.commands
	w.commands = nil
	return out
}

func named(commands []command) string {
	var names []string
	for _, c := range commands {
		names = append(names, c.name)
	}
	return strings.Join(names, " ")
}

func TestDurability_DiskWaitsOnTheConnectionThatWrote(t *testing.T) {
	t.Parallel()
	w := startWaiting(t)
	f, c := onDurable(t, w, OnDisk), card(t)
	if _, err := f.tryAccept(t.Context(), c); err != nil { // It loads the scripts.
		t.Fatalf("Accept = %v", err)
	}
	if got := w.take(); got[0].name != "WAITAOF" {
		t.Errorf("the first request sends %s, want to have asked before anything is written", named(got))
	}
	acc, err := f.tryAccept(t.Context(), c)
	got := w.take()
	if err != nil || named(got) != "reserve accept settle rebind WAITAOF" {
		t.Errorf("Accept = %v, and sends %s", err, named(got))
	}
	if last := got[len(got)-3:]; last[0].conn != last[2].conn || last[1].conn != last[2].conn {
		t.Error("what waits comes over another connection than what wrote")
	}

	w.mu.Lock()
	w.synced = 0
	w.mu.Unlock()
	again, err := f.tryAccept(t.Context(), c)
	if !errors.Is(err, ErrNotDurable) || !strings.Contains(err.Error(), acc.ID) || again.ID != "" {
		t.Errorf("Accept = %v, %v, want an ErrNotDurable that names the operation", again, err)
	}
	w.take()
	if _, err := f.tryAccept(t.Context(), c); !errors.Is(err, ErrNotDurable) || named(w.take()) != "WAITAOF" {
		t.Errorf("Accept = %v after one that was not on disk, want it refused before anything is written", err)
	}
}

func TestDurability_InMemorySendsNothingMore(t *testing.T) {
	t.Parallel()
	w := startWaiting(t)
	f, c := onDurable(t, w, ""), card(t)
	for range 2 {
		w.take()
		if _, err := f.tryAccept(t.Context(), c); err != nil {
			t.Fatalf("Accept = %v", err)
		}
	}
	if got := w.take(); named(got) != "reserve accept" {
		t.Errorf("Accept sends %s", named(got))
	}
}

// A failover between a write and the wait for it brings a server that does not have what was written.
func TestDurability_WhatAFailoverHasLostIsNotAccepted(t *testing.T) {
	t.Parallel()
	w := startWaiting(t)
	f, c := onDurable(t, w, OnDisk), card(t)
	acc, err := f.tryAccept(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	key := "key of " + c.Reveal()
	bound := w.Get(t.Context(), idemKey(key)).Val()
	lose := func(key string) {
		t.Helper()
		if n, err := w.Del(t.Context(), key).Result(); err != nil || n != 1 {
			t.Fatalf("Del(%s) = %d, %v", key, n, err)
		}
	}
	lose(idemKey(key))
	if err := f.store.settle(t.Context(), acc.Record, "", key, bound); err != nil {
		t.Errorf("settle = %v without the binding, want it put back", err)
	}
	if got := w.Get(t.Context(), idemKey(key)).Val(); got != bound {
		t.Errorf("the key is bound to %q, want %q", got, bound)
	}
	if err := f.store.settle(t.Context(), acc.Record, joinedKey(NewID(c)), key, bound); !errors.Is(err, ErrNotDurable) {
		t.Errorf("settle = %v without what the request had joined, want ErrNotDurable", err)
	}
	later := acc.Record
	later.Seq++
	if err := f.store.settle(t.Context(), later, "", "", ""); !errors.Is(err, ErrNotDurable) {
		t.Errorf("settle = %v of an operation that was driven again, want ErrNotDurable", err)
	}
	lose(opKey(acc.ID))
	if err := f.store.settle(t.Context(), acc.Record, "", key, bound); !errors.Is(err, ErrNotDurable) {
		t.Errorf("settle = %v without the operation, want ErrNotDurable", err)
	}
	if keys := w.Keys(t.Context(), "*:op:*").Val(); len(keys) != 0 {
		t.Errorf("%v came back", slices.Sorted(slices.Values(keys)))
	}
}
