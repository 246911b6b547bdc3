package enqueue_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/internal/redisconn"
	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/tasks"
)

func TestWait_ReturnsWhenDoneForBetterOrWorse(t *testing.T) {
	t.Parallel()
	b := newBench(t, enqueue.Config{})
	good, bad := b.accept(tasks.UnblockPIN, "1"), b.accept(tasks.UnblockPIN, "2")
	type result struct {
		op  tasks.Operation
		err error
	}
	results := make(chan result, 2)
	for _, id := range []string{good.ID, bad.ID} {
		go func() {
			op, err := b.client.Wait(t.Context(), id)
			results <- result{op, err}
		}()
	}
	b.failed(bad.ID, tasks.CodeCardNotFound)
	if r := receive(t, "the failed operation", results); r.err != nil || r.op.ID != bad.ID || r.op.State != tasks.Failed || r.op.Error.Code != tasks.CodeCardNotFound {
		t.Errorf("Wait = %+v, %v, want the failed operation", r.op, r.err)
	}
	b.confirmed(good.ID)
	if r := receive(t, "the succeeded operation", results); r.err != nil || r.op.ID != good.ID || r.op.State != tasks.Succeeded {
		t.Errorf("Wait = %+v, %v, want the succeeded operation", r.op, r.err)
	}
	if op, err := b.client.Wait(t.Context(), good.ID); err != nil || op.State != tasks.Succeeded {
		t.Errorf("Wait after the end = %s, %v", op.State, err)
	}
	if _, err := b.client.Wait(t.Context(), "nonsense"); enqueue.CodeOf(err) != "not_found" {
		t.Errorf("Wait for nothing = %v, want not_found", err)
	}
}

func TestWait_GivesTheLastSnapshotWhenTimeRunsOut(t *testing.T) {
	t.Parallel()
	b := newBench(t, enqueue.Config{})
	acc := b.accept(tasks.UnblockPIN, "103169946")
	b.begin(acc.ID)
	op, err := b.client.Wait(within(t, 50*time.Millisecond), acc.ID)
	if !errors.Is(err, context.DeadlineExceeded) || enqueue.CodeOf(err) != "" || op.State != tasks.Running || op.ID != acc.ID {
		t.Errorf("Wait = %s, %v, want running and the deadline, which is no fault of the queue", op.State, err)
	}
	why := errors.New("the user has left")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if _, err := b.client.Wait(ctx, acc.ID); !errors.Is(err, why) {
		t.Errorf("Wait = %v, want the cause of the context", err)
	}
	if op, err := b.client.Get(t.Context(), acc.ID); err != nil || op.State != tasks.Running {
		t.Errorf("the operation is %s, %v, want it to go on", op.State, err)
	}
}

func TestWait_EndsWhenTheClientIsClosed(t *testing.T) {
	t.Parallel()
	b := newBench(t, enqueue.Config{})
	acc := b.accept(tasks.UnblockPIN, "103169946")
	errs := make(chan error, 1)
	seen := make(chan struct{}, 10)
	go func() {
		for _, err := range b.client.Watch(t.Context(), acc.ID) {
			if err != nil {
				errs <- err
				return
			}
			seen <- struct{}{}
		}
		errs <- nil
	}()
	receive(t, "the first snapshot", seen)
	if err := b.client.Close(); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, "the wait ends", errs); enqueue.CodeOf(err) != "queue_unavailable" || !strings.Contains(err.Error(), "closed") {
		t.Errorf("Watch = %v, want queue_unavailable because the client was closed", err)
	}
	if _, err := b.client.Wait(t.Context(), acc.ID); enqueue.CodeOf(err) != "queue_unavailable" {
		t.Errorf("Wait of a closed client = %v, want queue_unavailable", err)
	}
}

func TestWait_ManyShareAFewConnections(t *testing.T) {
	t.Parallel()
	const operations, waits, pool, handful = 200, 50, 4, 10
	server := redistest.Start(t)
	conn, err := redisconn.Open(server.URL(), redisconn.Options{PoolSize: pool})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	b := benchOn(t, conn.Client, enqueue.Config{})
	var (
		begun   []opstore.Begun
		waiting sync.WaitGroup
		done    sync.WaitGroup
	)
	for i := range operations {
		acc := b.accept(tasks.UnblockPIN, fmt.Sprintf("%09d", i))
		begun = append(begun, b.begin(acc.ID))
		for range waits {
			waiting.Add(1)
			done.Go(func() {
				var last tasks.Operation
				for op, err := range b.client.Watch(t.Context(), acc.ID) {
					if err != nil {
						t.Errorf("Watch = %v", err)
						return
					}
					if last.ID == "" {
						waiting.Done()
					}
					last = op
				}
				if last.State != tasks.Succeeded {
					t.Errorf("the last of %s is %s, want succeeded", last.ID, last.State)
				}
			})
		}
	}
	waiting.Wait()
	list := server.Client(t).ClientList(t.Context()).Val()
	if n := strings.Count(list, "\n"); n > handful {
		t.Errorf("%d waits use %d connections, want at most %d:\n%s", operations*waits, n, handful, list)
	}
	for _, b2 := range begun {
		b.finish(b2, opstore.Result{Status: unblocked()})
	}
	all := make(chan struct{})
	go func() { done.Wait(); close(all) }()
	receive(t, "all waits end", all)
}

// What happens while the subscription is lost is not missed.
func TestWait_OutlivesALostSubscription(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := benchOn(t, server.Client(t), enqueue.Config{})
	acc := b.accept(tasks.UnblockPIN, "103169946")
	results := make(chan tasks.Operation, 1)
	go func() {
		op, err := b.client.Wait(t.Context(), acc.ID)
		if err != nil {
			t.Errorf("Wait = %v", err)
		}
		results <- op
	}()
	ctx := within(t, patience)
	for tick := time.Tick(5 * time.Millisecond); ctx.Err() == nil; <-tick {
		if b.rdb.ClientKillByFilter(ctx, "TYPE", "pubsub").Val() > 0 {
			break
		}
	}
	b.confirmed(acc.ID)
	if op := receive(t, "the wait ends", results); op.State != tasks.Succeeded {
		t.Errorf("Wait = %s, want succeeded", op.State)
	}
}

// reads counts the reads of records.
type reads struct{ n atomic.Int64 }

func (r *reads) DialHook(next redis.DialHook) redis.DialHook { return next }

func (r *reads) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "hmget" {
			r.n.Add(1)
		}
		return next(ctx, cmd)
	}
}

func (r *reads) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// An operation that takes milliseconds is read once, and neither at its steps nor at its end: that would hold it up.
func TestWait_ReadsOnceAndIsToldTheRest(t *testing.T) {
	t.Parallel()
	b := newBench(t, enqueue.Config{})
	acc := b.accept(tasks.UnblockPIN, "103169946")
	count := &reads{}
	b.rdb.AddHook(count)
	ended := make(chan tasks.Operation, 1)
	go func() {
		op, err := b.client.Wait(within(t, patience), acc.ID)
		if err != nil {
			t.Errorf("Wait = %v", err)
		}
		ended <- op
	}()
	for deadline := time.Now().Add(patience); count.n.Load() < 1; { // When its watch is effective.
		if time.Now().After(deadline) {
			t.Fatalf("no read in %s", patience)
		}
		<-time.After(time.Millisecond)
	}
	const others = 2 // by each begin of this test
	before := count.n.Load()
	start := time.Now()
	b.chain(b.begin(acc.ID))
	b.finish(b.begin(acc.ID), opstore.Result{Status: unblocked()})
	if op := receive(t, "the end", ended); op.State != tasks.Succeeded {
		t.Errorf("it is %s, want succeeded", op.State)
	}
	// One for every tenth of a second that the steps took on this machine.
	if n, most := count.n.Load()-before, others+int64(time.Since(start)/(100*time.Millisecond)); n > most {
		t.Errorf("%d reads, want at most %d", n, most)
	}
}

// Without its subscription a wait reads all the same.
func TestWait_ReadsWhenItMayNotSubscribe(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := benchOn(t, server.Client(t), enqueue.Config{})
	ended, open := b.accept(tasks.UnblockPIN, "1"), b.accept(tasks.UnblockPIN, "2")
	b.confirmed(ended.ID)
	err := b.rdb.Do(t.Context(), "ACL", "SETUSER", "deaf", "on", "nopass", "resetchannels", "~*", "+@all").Err()
	if err != nil {
		t.Fatal(err)
	}
	opts := *b.rdb.(*redis.Client).Options()
	opts.Username = "deaf"
	rdb := redis.NewClient(&opts)
	t.Cleanup(func() { _ = rdb.Close() })
	deaf := benchOn(t, rdb, enqueue.Config{})
	if op, err := deaf.client.Wait(within(t, patience), ended.ID); err != nil || op.State != tasks.Succeeded {
		t.Errorf("Wait after the end = %s, %v", op.State, err)
	}
	if op, err := deaf.client.Wait(within(t, time.Second), open.ID); !errors.Is(err, context.DeadlineExceeded) || op.State != tasks.Accepted {
		t.Errorf("Wait = %s, %v, want accepted and the deadline", op.State, err)
	}
}

// Whoever gives a wait less time than its subscription takes gets a snapshot all the same.
func TestWait_OfAMoment(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := benchOn(t, server.Client(t), enqueue.Config{})
	acc := b.accept(tasks.UnblockPIN, "103169946")
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	<-ctx.Done()
	if op, err := b.client.Wait(ctx, acc.ID); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Wait whose time was over = %s, %v, want the deadline", op.State, err)
	}
	for _, d := range []time.Duration{50 * time.Microsecond, 200 * time.Microsecond, time.Millisecond, 5 * time.Millisecond} {
		op, err := b.client.Wait(within(t, d), acc.ID)
		if !errors.Is(err, context.DeadlineExceeded) || op.State != "" && op.ID != acc.ID {
			t.Errorf("Wait for %s = %+v, %v, want a snapshot or none, and the deadline", d, op, err)
		}
	}
}

func TestWait_OfARecordThatCannotBeReadShowsNothingOfIt(t *testing.T) {
	t.Parallel()
	b := newBench(t, enqueue.Config{})
	acc := b.accept(tasks.UnblockPIN, "103169946")
	key := fmt.Sprintf("cardworker:{%s}:op:%s", tasks.ShardOf(acc.ID), acc.ID)
	if err := b.rdb.HSet(t.Context(), key, "state", "succeeded", "status", "[1]").Err(); err != nil {
		t.Fatal(err)
	}
	n := 0
	for op, err := range b.client.Watch(within(t, patience), acc.ID) {
		if n++; err == nil || op.ID != "" {
			t.Errorf("Watch yields %+v, %v, want an error alone", op, err)
		}
	}
	if n != 1 {
		t.Errorf("Watch yields %d times, want once", n)
	}
}

// slowRead is a Redis that takes too long for the first read.
type slowRead struct{ reads }

func (r *slowRead) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "hmget" && r.n.Add(1) == 1 {
			<-ctx.Done()
			cmd.SetErr(ctx.Err())
			return ctx.Err()
		}
		return next(ctx, cmd)
	}
}

func TestWait_WhoseTimeIsOverDuringTheFirstReadReadsOnceMore(t *testing.T) {
	t.Parallel()
	b := newBench(t, enqueue.Config{})
	acc := b.accept(tasks.UnblockPIN, "103169946")
	b.rdb.AddHook(&slowRead{})
	op, err := b.client.Wait(within(t, 300*time.Millisecond), acc.ID)
	if !errors.Is(err, context.DeadlineExceeded) || enqueue.CodeOf(err) != "" || op.State != tasks.Accepted {
		t.Errorf("Wait = %s, %v, want accepted and the deadline, which is no fault of the queue", op.State, err)
	}
}
