package opstore

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/coalesce"
	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/tasks"
)

// onDurable returns a fixture whose store and connections are new: nothing was written over them.
func onDurable(t testing.TB, rdb redis.UniversalClient, level Durability) fixture {
	t.Helper()
	return newFixture(t, rdb).with(Config{Durability: level, UnblockLimit: -1})
}

// tryAccept asks with a key for the same operation of the card each time.
func (f fixture) tryAccept(ctx context.Context, card tasks.PublicToken) (Accepted, error) {
	return f.store.Accept(ctx, Request{Kind: tasks.UnblockPIN, Card: card, Lifetime: time.Minute, Key: "key of " + card.Reveal()})
}

// startPair starts a primary and a replica that is in sync.
func startPair(t testing.TB) (primary, replica *redistest.Server) {
	t.Helper()
	primary = redistest.Start(t, "--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0")
	replica = redistest.Start(t, "--replicaof", "127.0.0.1", strconv.Itoa(primary.Port()))
	rdb := replica.Client(t)
	eventually(t, "the replica is in sync", func() bool {
		return strings.Contains(rdb.Info(t.Context(), "replication").Val(), "master_link_status:up")
	})
	return primary, replica
}

func TestDurability_ReplicaHasEverythingThatWasAccepted(t *testing.T) {
	t.Parallel()
	primary, replica := startPair(t)
	f, other := onDurable(t, primary.Client(t), OnReplica), replica.Client(t)
	// The replica must not be asked before the answer is there, so each of many answers is looked at.
	for range 100 {
		card := card(t)
		first, err := f.tryAccept(t.Context(), card)
		if err != nil {
			t.Fatalf("Accept = %v", err)
		}
		joined := f.accept(Request{Kind: tasks.UnblockPIN, Card: card, Key: "another key of " + card.Reveal()})
		if joined.ID != first.ID || !joined.Joined {
			t.Errorf("a second request got %s, Joined %v, want to have joined %s", joined.ID, joined.Joined, first.ID)
		}
		for _, key := range []string{opKey(first.ID), idemKey("key of " + card.Reveal()), idemKey("another key of " + card.Reveal())} {
			if n := other.Exists(t.Context(), key).Val(); n != 1 {
				t.Errorf("the replica does not have %s", key)
			}
		}
		f.done(first.Record, Result{Error: failure(tasks.CodeNotAllowed)})
		if _, err := f.store.Redrive(t.Context(), first.ID, time.Minute); err != nil {
			t.Fatalf("Redrive = %v", err)
		}
		if state := other.HGet(t.Context(), opKey(first.ID), "state").Val(); state != string(tasks.Accepted) {
			t.Errorf("for the replica the operation that was driven again is %q", state)
		}
	}
}

func TestDurability_ReplicaThatIsSilentMeansARefusalInTime(t *testing.T) {
	t.Parallel()
	primary, replica := startPair(t)
	rdb := primary.Client(t)
	card := card(t)
	replica.Freeze(t)
	var ids []string
	// Whoever asks again writes nothing new, over connections that have written nothing before: what an
	// earlier request wrote has to be waited for all the same.
	for range 3 {
		f := onDurable(t, primary.Client(t), OnReplica)
		f.store.about(f.rdb).able.Store(true) // It was able when it was last asked.
		begin := time.Now()
		_, err := f.tryAccept(t.Context(), card)
		if took := time.Since(begin); !errors.Is(err, ErrNotDurable) || took > 2*replicaWait+patience/4 {
			t.Fatalf("Accept = %v after %s, want ErrNotDurable within %s", err, took, replicaWait)
		}
		if !strings.Contains(err.Error(), "asking again with the same idempotency key is safe") {
			t.Errorf("Accept = %q, which does not say what to do", err)
		}
		ids = rdb.Keys(t.Context(), "*op:*").Val()
		if len(ids) != 1 {
			t.Fatalf("operations are %v, want one", ids)
		}
	}
	// Who has less time is told before it is over.
	f := onDurable(t, rdb, OnReplica)
	f.store.about(f.rdb).able.Store(true)
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := f.tryAccept(short, card); !errors.Is(err, ErrNotDurable) || short.Err() != nil {
		t.Errorf("Accept = %v with 300 ms, want ErrNotDurable before they are over", err)
	}
	replica.Thaw(t)
	eventually(t, "the replica confirms", func() bool {
		acc, err := f.tryAccept(t.Context(), card)
		return err == nil && opKey(acc.ID) == ids[0]
	})
}

func TestDurability_WithoutAReplicaNothingIsRecorded(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	f := onDurable(t, rdb, OnReplica)
	_, err := f.tryAccept(t.Context(), card(t))
	if !errors.Is(err, ErrNotDurable) || !strings.Contains(err.Error(), "durability replica cannot be had: no replica") {
		t.Errorf("Accept = %v, want ErrNotDurable for want of a replica", err)
	}
	if n := rdb.DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("%d keys were written", n)
	}
}

// A server of before 7.2 cannot be asked to wait for its disk. This holds with either.
func TestDurability_DiskIsWaitedForOrRefusedBeforeAnythingIsRecorded(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, want string
		args       []string
	}{
		{"always", "", []string{"--appendonly", "yes", "--appendfsync", "always"}},
		{"everysec", "set appendonly yes and appendfsync always", []string{"--appendonly", "yes", "--appendfsync", "everysec"}},
		{"no AOF", "set appendonly yes", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			rdb := redistest.Start(t, tc.args...).Client(t)
			if tc.name == "everysec" && knowsWAITAOF(t, rdb) {
				tc.want = ""
			}
			_, err := onDurable(t, rdb, OnDisk).tryAccept(t.Context(), card(t))
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("Accept = %v", err)
			case tc.want != "" && (!errors.Is(err, ErrNotDurable) || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("Accept = %v, want an ErrNotDurable that says %q", err, tc.want)
			}
			if n := rdb.DBSize(t.Context()).Val(); (n == 0) != (tc.want != "") {
				t.Errorf("%d keys were written", n)
			}
		})
	}
}

// A server that is replaced, or set otherwise, is noticed by the next request.
func TestDurability_DiskThatIsNoLongerWrittenToIsNoticed(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always").Client(t)
	f, card := onDurable(t, rdb, OnDisk), card(t)
	if _, err := f.tryAccept(t.Context(), card); err != nil {
		t.Fatalf("Accept = %v", err)
	}
	set := func(value string) {
		t.Helper()
		if err := rdb.ConfigSet(t.Context(), "appendonly", value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	set("no")
	for _, want := range []string{"the operation may go on", "cannot be had"} {
		if _, err := f.tryAccept(t.Context(), card); !errors.Is(err, ErrNotDurable) || !strings.Contains(err.Error(), want) {
			t.Errorf("Accept = %v, want an ErrNotDurable that says %q", err, want)
		}
	}
	set("yes")
	eventually(t, "it is accepted again", func() bool {
		_, err := f.tryAccept(t.Context(), card)
		return err == nil
	})
	rewritten(t, rdb)
}

// rewritten waits until a server whose appendonly was turned on has written what it had. The process that does this
// outlives a server that is killed, and would write into a directory that is being removed.
func rewritten(t testing.TB, rdb redis.UniversalClient) {
	t.Helper()
	eventually(t, "the append-only file is rewritten", func() bool {
		info := rdb.Info(t.Context(), "persistence").Val()
		return strings.Contains(info, "aof_rewrite_in_progress:0") && strings.Contains(info, "aof_rewrite_scheduled:0")
	})
}

// The operation and its key lie in different nodes, and each is waited for where it lies.
func TestDurability_OnAClusterIsThatOfTheNodesConcerned(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 3)
	rdb := cluster.Client(t).(*redis.ClusterClient)
	f := onDurable(t, coalesce.New(rdb), OnDisk) // As producers have it.
	set := func(addr, value string) {
		t.Helper()
		node := redis.NewClient(&redis.Options{Addr: addr})
		defer func() { _ = node.Close() }()
		if err := node.ConfigSet(t.Context(), "appendonly", value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for _, node := range cluster.Nodes {
		set(node.Addr, "yes")
		if err := node.Client(t).ConfigSet(t.Context(), "appendfsync", "always").Err(); err != nil {
			t.Fatal(err)
		}
	}
	nodeOf := func(key string) string {
		t.Helper()
		node, err := rdb.MasterForKey(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		return node.Options().Addr
	}
	// A card whose operation and key are apart.
	c := card(t)
	at := func() (op, key string) {
		return nodeOf(lockKey(c, tasks.UnblockPIN)), nodeOf(idemKey("key of " + c.Reveal()))
	}
	op, key := at()
	for ; op == key; op, key = at() {
		c = card(t)
	}
	eventually(t, "all nodes write to disk", func() bool { return f.store.CheckDurability(t.Context()) == nil })
	for _, node := range cluster.Nodes {
		set(node.Addr, "no")
		_, err := f.tryAccept(t.Context(), c)
		if concerned := node.Addr == op || node.Addr == key; errors.Is(err, ErrNotDurable) != concerned || !concerned && err != nil {
			t.Errorf("without the disk of %s (the operation is on %s, the key on %s): Accept = %v", node.Addr, op, key, err)
		}
		if err := f.store.CheckDurability(t.Context()); !errors.Is(err, ErrNotDurable) {
			t.Errorf("CheckDurability = %v without the disk of a node, want ErrNotDurable", err)
		}
		set(node.Addr, "yes")
		eventually(t, "all nodes write to disk", func() bool { return f.store.CheckDurability(t.Context()) == nil })
	}
	for _, node := range cluster.Nodes {
		rewritten(t, node.Client(t))
	}
}

func knowsWAITAOF(t testing.TB, rdb redis.UniversalClient) bool {
	t.Helper()
	err := rdb.Do(t.Context(), "WAITAOF", 0, 0, 1).Err()
	if err != nil && !unknownCommand(err) {
		t.Fatal(err)
	}
	return err == nil
}
