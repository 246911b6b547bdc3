package opstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/singleflight"

	"github.com/cardworker/cardworker/internal/coalesce"
)

const (
	// replicaWait is how long a replica has for its confirmation, which takes one round trip.
	replicaWait = time.Second
	// diskWait is the same for the disk. With appendfsync everysec it takes up to a second, and longer when
	// the disk is behind. It has to be shorter than the read timeout of a connection.
	diskWait = 2 * time.Second
	// askTimeout bounds what is asked of a server for several requests.
	askTimeout = 5 * time.Second
	// lateness is by how much a wait may be over later than it should: Redis looks ten times a second.
	lateness = 150 * time.Millisecond
	// redirects is how often a node of a cluster is looked up again that did not have the slot.
	redirects = 3
)

// settling is what a store has found out about each of its servers, by the address; "" is that of all which are not
// a node of a cluster. A cluster's clients come and go with its nodes, its addresses are few.
type settling struct{ servers sync.Map }

type findings struct {
	able  atomic.Bool // it could do what the level takes when it was last asked
	older atomic.Bool // it does not know WAITAOF

	asking singleflight.Group
}

func (s *settling) about(node redis.Cmdable) *findings {
	addr := ""
	if c, ok := node.(*redis.Client); ok {
		addr = c.Options().Addr
	}
	v, _ := s.servers.LoadOrStore(addr, &findings{})
	return v.(*findings)
}

// touch writes to something that has to be safe, if it is still there. Its script returns 1 then.
type touch struct {
	script *redis.Script
	keys   []string
	args   []any
}

// settle waits until an operation that was accepted or driven again is as safe as the configuration asks.
// joined is what tells which operation the request has joined, key its idempotency key, and bound what that
// was bound to; each may be "".
//
// The operation and the binding are all that has to be kept: from them come the task, by recovery, and the
// answer to whoever asks again.
func (s *Store) settle(ctx context.Context, rec Record, joined, key, bound string) error {
	if s.cfg.Durability == InMemory {
		return nil
	}
	op := opKey(rec.ID)
	touches := []touch{{settleScript, []string{op, cmp.Or(joined, op)}, []any{rec.ID, rec.Seq}}}
	if key != "" {
		touches = append(touches, touch{rebindScript, []string{idemKey(key)}, []any{bound, IdempotencyWindow.Milliseconds()}})
	}
	var err error
	if cluster, ok := coalesce.Cluster(s.rdb); ok {
		err = inParallel(touches, func(t touch) error { return s.awaitInCluster(ctx, cluster, t) })
	} else {
		err = s.await(ctx, s.rdb, touches)
	}
	if err != nil {
		return fmt.Errorf("operation %s: %w", rec.ID, err)
	}
	return nil
}

// CheckDurability reports whether all servers can do what the configured durability takes. The error wraps
// [ErrNotDurable] when they cannot. Nothing is written.
func (s *Store) CheckDurability(ctx context.Context) error {
	cluster, ok := coalesce.Cluster(s.rdb)
	switch {
	case s.cfg.Durability == InMemory:
		return nil
	case ok:
		return cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return s.await(ctx, node, nil) })
	default:
		return s.await(ctx, s.rdb, nil)
	}
}

// able is CheckDurability for the servers of an operation and its idempotency key, unless they could when they
// were last asked.
func (s *Store) able(ctx context.Context, id, key string) error {
	if s.cfg.Durability == InMemory {
		return nil
	}
	ask := func(node redis.Cmdable) error {
		found := s.about(node)
		if found.able.Load() {
			return nil
		}
		// One asks for all: while a replica is silent, each who asked would hold a connection for a second.
		answer := found.asking.DoChan("", func() (any, error) {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
			defer cancel()
			return nil, s.await(ctx, node, nil)
		})
		select {
		case a := <-answer:
			return a.Err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	cluster, ok := coalesce.Cluster(s.rdb)
	if !ok {
		return ask(s.rdb)
	}
	keys := []string{opKey(id)}
	if key != "" {
		keys = append(keys, idemKey(key))
	}
	return inParallel(keys, func(key string) error {
		node, err := cluster.MasterForKey(ctx, key)
		if err != nil {
			return err
		}
		return ask(node)
	})
}

// inParallel returns one of the errors.
func inParallel[T any](all []T, do func(T) error) error {
	errs := make([]error, len(all))
	var running sync.WaitGroup
	for i, v := range all {
		running.Go(func() { errs[i] = do(v) })
	}
	running.Wait()
	return cmp.Or(errs...)
}

// awaitInCluster asks the node that has the slot by itself: WAIT has no key, so the cluster client would send
// it to any node.
func (s *Store) awaitInCluster(ctx context.Context, cluster *redis.ClusterClient, t touch) error {
	for n := 0; ; n++ {
		node, err := cluster.MasterForKey(ctx, t.keys[0])
		if err != nil {
			return err
		}
		err = s.await(ctx, node, []touch{t})
		if !redis.HasErrorPrefix(err, "MOVED") || n == redirects {
			return err
		}
		cluster.ReloadState(ctx)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond << n): // It is loaded in the background.
		}
	}
}

// await sends the touches to one server, and with them, on the same connection, what waits for them. A server
// that has failed is asked before the next request is recorded.
func (s *Store) await(ctx context.Context, node redis.Cmdable, touches []touch) error {
	found := s.about(node)
	older := found.older.Load()
	safe, err := s.send(ctx, node, touches, (*redis.Script).EvalSha, older)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		safe, err = s.send(ctx, node, touches, (*redis.Script).Eval, older)
	}
	if err == nil {
		err = safe(len(touches) > 0)
	}
	if !older && unknownCommand(err) {
		found.older.Store(true)
		return s.await(ctx, node, touches)
	}
	if err != nil {
		found.older.Store(false) // It may have been replaced by a newer one.
	}
	found.able.Store(err == nil)
	return err
}

// eval is one of the ways to run a script.
type eval = func(s *redis.Script, ctx context.Context, c redis.Scripter, keys []string, args ...any) *redis.Cmd

// send returns the error of the touches, and what tells whether they are safe.
func (s *Store) send(ctx context.Context, node redis.Cmdable, touches []touch, run eval, older bool) (safe func(recorded bool) error, err error) {
	var touched []*redis.Cmd
	_, _ = node.Pipelined(ctx, func(p redis.Pipeliner) error { // Each command has its own error.
		for _, t := range touches {
			touched = append(touched, run(t.script, ctx, p, t.keys, t.args...))
		}
		switch {
		case s.cfg.Durability == OnReplica:
			safe = s.onReplica(ctx, p)
		case older:
			safe = s.onDiskAlways(ctx, p)
		default:
			safe = s.onDisk(ctx, p)
		}
		return nil
	})
	for _, cmd := range touched {
		switch n, err := cmd.Int(); {
		case err != nil:
			return nil, err
		case n != 1:
			return nil, &notDurable{s.cfg.Durability, true, "the operation is gone: a failover has lost it, or its time is over"}
		}
	}
	return safe, nil
}

func (s *Store) onReplica(ctx context.Context, p redis.Pipeliner) func(bool) error {
	wait := waitWithin(ctx, replicaWait)
	cmd := p.Do(ctx, "WAIT", 1, wait.Milliseconds())
	return func(recorded bool) error {
		n, err := cmd.Int()
		if err == nil && n < 1 {
			return &notDurable{OnReplica, recorded, fmt.Sprintf("no replica has confirmed what Redis wrote within %s: see INFO replication, and bring one back", wait)}
		}
		return err
	}
}

func (s *Store) onDisk(ctx context.Context, p redis.Pipeliner) func(bool) error {
	wait := waitWithin(ctx, diskWait)
	cmd := p.Do(ctx, "WAITAOF", 1, 0, wait.Milliseconds())
	return func(recorded bool) error {
		n, err := cmd.Int64Slice()
		switch {
		case err == nil && (len(n) == 0 || n[0] < 1):
			return &notDurable{OnDisk, recorded, fmt.Sprintf("what Redis wrote was not on its disk within %s: see INFO persistence", wait)}
		case err != nil && strings.Contains(err.Error(), "appendonly is disabled"):
			return &notDurable{OnDisk, recorded, "Redis writes nothing to disk: set appendonly yes"}
		}
		return err
	}
}

// onDiskAlways is for servers that cannot be asked to wait. With appendfsync always they answer no write
// before it is on disk, so there is nothing to wait for; it is asked each time, because a failover may bring
// a server with other settings.
func (s *Store) onDiskAlways(ctx context.Context, p redis.Pipeliner) func(bool) error {
	cmd := p.ConfigGet(ctx, "append*")
	return func(recorded bool) error {
		set, err := cmd.Result()
		var reply redis.Error
		switch {
		case errors.As(err, &reply):
			return &notDurable{OnDisk, recorded, "this Redis has no WAITAOF and does not tell its settings: use Redis 7.2 or newer, or allow +config|get and set appendfsync always"}
		case err == nil && (set["appendonly"] != "yes" || set["appendfsync"] != "always"):
			return &notDurable{OnDisk, recorded, "this Redis has no WAITAOF: use Redis 7.2 or newer, or set appendonly yes and appendfsync always"}
		}
		return err
	}
}

// waitWithin returns how long Redis may wait, so that it gives up before ctx does. For Redis 0 would be for
// ever.
func waitWithin(ctx context.Context, most time.Duration) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		most = min(most, time.Until(deadline)-lateness)
	}
	return max(most.Truncate(time.Millisecond), time.Millisecond)
}

func unknownCommand(err error) bool {
	return redis.HasErrorPrefix(err, "ERR unknown command") || redis.HasErrorPrefix(err, "unknown command")
}
