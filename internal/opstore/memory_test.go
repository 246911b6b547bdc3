package opstore

import (
	"strings"
	"testing"
	"time"

	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/tasks"
)

// When Redis is out of memory, what has begun can be brought to its end, which gives memory back. What
// asks for more is refused whole.
func TestOutOfMemory_EndsWorkAndTakesNone(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--maxmemory-policy", "noeviction")
	f := newFixture(t, server.Client(t))
	failed := f.failedWith(tasks.CodeUnavailable, false, false)
	limited := f.open(tasks.UnblockPIN)
	recs := map[string]Record{}
	begun := map[string]Begun{}
	for _, name := range []string{"yield", "chain", "handover", "finish"} {
		recs[name] = f.open(tasks.UnblockPIN)
		begun[name] = f.begun(recs[name], Lease{}, Go)
	}
	// All scripts are known to the server from here on: to load one takes memory.
	for _, s := range []string{"accept", "begin", "extend", "yield", "chain", "handover", "finish", "redrive", "reserve"} {
		if err := script(s).Load(t.Context(), f.rdb).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.rdb.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	keys := f.rdb.DBSize(t.Context()).Val()
	before := f.raw(failed)
	_, accept := f.store.Accept(t.Context(), Request{Kind: tasks.UnblockPIN, Card: card(t), Lifetime: time.Minute})
	_, refresh := f.store.Accept(t.Context(), Request{Kind: tasks.RefreshPINStatus, Card: card(t), Lifetime: time.Minute})
	_, keyed := f.store.Accept(t.Context(), Request{Kind: tasks.UnblockPIN, Card: limited.Token, Lifetime: time.Minute, Key: idemKeyOf(t)})
	_, redrive := f.store.Redrive(t.Context(), failed.ID, time.Minute)
	for name, err := range map[string]error{"Accept": accept, "Accept of a refresh": refresh, "Accept with a key": keyed, "Redrive": redrive} {
		if err == nil || !strings.Contains(err.Error(), "OOM") {
			t.Errorf("%s = %v, want Redis's word that it is out of memory", name, err)
		}
	}
	if n := f.rdb.DBSize(t.Context()).Val(); n != keys {
		t.Errorf("%d keys after what was refused, %d before", n, keys)
	}
	f.unchanged(failed, before)

	for name, b := range begun {
		if _, lost, err := f.store.Extend(t.Context(), []Lease{b.Lease}); err != nil || len(lost) > 0 {
			t.Errorf("Extend = %v, %v", lost, err)
		}
		switch name {
		case "yield":
			if err := f.store.Yield(t.Context(), b.Lease, recs[name].TaskType, Progress{Keep: true}); err != nil {
				t.Errorf("Yield = %v", err)
			}
			f.begun(recs[name], b.Lease, Go)
			continue
		case "chain":
			if _, err := f.store.Chain(t.Context(), b.Lease, b.Record.Kind); err != nil {
				t.Errorf("Chain = %v", err)
			}
			b = f.begun(f.get(recs[name].ID), Lease{}, Go)
		case "handover":
			b = f.handover(f.store, b)
		}
		f.finish(b, Result{Status: unblocked()})
	}
}
