package doorbell

import (
	"net"
	"slices"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/redistest"
)

func TestBell_AWaitingServerTakesATaskAtOnce(t *testing.T) {
	t.Parallel()
	onEveryRedis(t, func(t *testing.T, rdb redis.UniversalClient, queue string) {
		first, last := queue+"-first", queue+"-last"
		b := listen(t, rdb, first, last)
		got := serve(t, b, rdb, first, last)
		wantQuick(t, rdb, first, "first", got)
		wantQuick(t, rdb, last, "last", got)
	})
}

func TestBell_ATaskThatNobodyRangForIsFoundWithinASecond(t *testing.T) {
	t.Parallel()
	onEveryRedis(t, func(t *testing.T, rdb redis.UniversalClient, queue string) {
		got := serve(t, listen(t, rdb, "other-"+queue, queue), rdb, "other-"+queue, queue)
		inspector := asynq.NewInspectorFromRedisClient(rdb)
		put(t, rdb, queue, "scheduled", asynq.ProcessIn(time.Hour))
		put(t, rdb, queue, "archived", asynq.ProcessIn(time.Hour))
		if err := inspector.ArchiveTask(queue, "archived"); err != nil {
			t.Fatalf("ArchiveTask: %v", err)
		}
		for name, bring := range map[string]func(){
			"of a plain client": func() { put(t, rdb, queue, "of a plain client") },
			"scheduled":         func() { run(t, inspector, queue, "scheduled") },
			"archived":          func() { run(t, inspector, queue, "archived") },
		} {
			start := time.Now()
			bring()
			if id := receive(t, "the task is taken", got); id != name {
				t.Errorf("took %q, want %q", id, name)
			}
			took := time.Since(start)
			t.Logf("%s: %s", name, took)
			if took > slow+jitter {
				t.Errorf("the task %s was taken after %s, want %s", name, took, slow)
			}
		}
	})
}

// run is what the button of a monitor does.
func run(t testing.TB, i *asynq.Inspector, queue, id string) {
	t.Helper()
	if err := i.RunTask(queue, id); err != nil {
		t.Fatalf("RunTask(%s): %v", id, err)
	}
}

func TestBell_SeveralServersOfOneQueueAllWake(t *testing.T) {
	t.Parallel()
	rdb, _ := redistest.Shared(t)
	queue := queueOfTest(t)
	b := listen(t, rdb, queue, lastQueue)
	const servers = 3
	waiting := make([]<-chan struct{}, servers)
	for i := range waiting {
		waiting[i] = b.subscribe([]string{queue})
	}
	subscribed(t, rdb, queue, 1)
	drain(t, rdb, b, waiting...)
	if err := Ring(t.Context(), rdb, queue); err != nil {
		t.Fatalf("Ring: %v", err)
	}
	for _, w := range waiting {
		receive(t, "the ring is heard", w)
	}
}

// lastQueue is a queue that a bell listens for last.
const lastQueue = "last"

// drain returns when the bell has heard of its new subscription, and takes the ring that this made for those who
// wait, if it came after them. The bell must listen for lastQueue, and be subscribed.
func drain(t testing.TB, rdb redis.UniversalClient, b *Bell, waiting ...<-chan struct{}) {
	t.Helper()
	last := b.subscribe([]string{lastQueue})
	if err := Ring(t.Context(), rdb, lastQueue); err != nil {
		t.Fatalf("Ring: %v", err)
	}
	// It is heard on the same connection, behind the subscriptions.
	receive(t, "the ring behind the new subscription", last)
	for _, w := range waiting {
		select {
		case <-w:
		default:
		}
	}
}

func TestBell_ALostConnectionIsMadeAnewAndRings(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	rdb, killer := server.Client(t), server.Client(t)
	b := listen(t, rdb, "q", lastQueue)
	heard := b.subscribe([]string{"q"})
	subscribed(t, rdb, "q", 1)
	drain(t, killer, b, heard)

	got := serve(t, b, rdb, "q")
	for range 3 {
		eventually(t, "the connection is killed", func() bool {
			n, err := killer.Do(t.Context(), "CLIENT", "KILL", "TYPE", "pubsub").Int()
			return err == nil && n > 0
		})
		// Nothing waits in the queue, so it is the new subscription that rings: what was rung before it
		// was made is not known.
		receive(t, "the new subscription rings", heard)
		subscribed(t, rdb, "q", 1)
		wantQuick(t, rdb, "q", "after the loss", got)
	}
}

func TestBell_ARestartOfRedisIsSurvived(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	rdb := server.Client(t)
	got := serve(t, listen(t, rdb, "q"), rdb, "q")
	wantQuick(t, rdb, "q", "before", got)
	server.Kill()
	server.Restart(t)
	start := time.Now()
	put(t, server.Client(t), "q", "unrung")
	receive(t, "the task is taken", got)
	t.Logf("the first task after the restart was taken after %s", time.Since(start))
	subscribed(t, rdb, "q", 1)
	wantQuick(t, rdb, "q", "after", got)
}

func TestPending_NamesTheQueuesThatHaveTasks(t *testing.T) {
	t.Parallel()
	rdb := redistest.StartCluster(t, 3).Client(t)
	queues := []string{"a", "b", "c", "d", "e"} // On several nodes.
	nodes := map[string]bool{}
	for _, q := range queues {
		node, err := rdb.(*redis.ClusterClient).MasterForKey(t.Context(), pendingKey(q))
		if err != nil {
			t.Fatalf("MasterForKey: %v", err)
		}
		nodes[node.Options().Addr] = true
	}
	if len(nodes) < 2 {
		t.Fatal("the queues lie on one node: the test has missed its aim")
	}
	b := listen(t, rdb, queues...)
	if got := b.pending(t.Context()); len(got) != 0 {
		t.Errorf("pending = %v, want none", got)
	}
	put(t, rdb, "b", "1")
	put(t, rdb, "e", "2")
	put(t, rdb, "c", "3", asynq.ProcessIn(time.Hour))
	if got := b.pending(t.Context()); !slices.Equal(got, []string{"b", "e"}) {
		t.Errorf("pending = %v, want [b e]", got)
	}
}

func TestRelease_LetsAnIdleServerStopAtOnce(t *testing.T) {
	t.Parallel()
	onEveryRedis(t, func(t *testing.T, rdb redis.UniversalClient, queue string) {
		b := listen(t, rdb, queue)
		got := make(chan string, 1)
		server := newServer(b.Client(rdb, queue), queue)
		if err := server.Start(tell(got)); err != nil {
			t.Fatalf("Start: %v", err)
		}
		put(t, Ringing(rdb), queue, "1")
		receive(t, "the task is taken", got)
		start := time.Now()
		b.Release()
		server.Shutdown()
		if took := time.Since(start); took > time.Second {
			t.Errorf("the shutdown took %s, want milliseconds", took)
		}
	})
}

func TestClose_TwiceIsOnce(t *testing.T) {
	t.Parallel()
	rdb, _ := redistest.Shared(t)
	b := Listen(rdb, "q")
	for range 2 {
		if err := b.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if err := Listen(rdb, "q").Close(); err != nil {
		t.Errorf("Close right after Listen: %v", err)
	}
}

func TestListen_DoesNotWaitForARedisThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	const timeout = time.Second
	rdb := redis.NewClient(&redis.Options{Addr: l.Addr().String(), ReadTimeout: timeout, MaxRetries: -1, ContextTimeoutEnabled: true})
	defer func() { _ = rdb.Close() }()
	start := time.Now()
	b := Listen(rdb, "q")
	if took := time.Since(start); took > timeout/2 {
		t.Errorf("Listen took %s, want no wait for Redis", took)
	}
	if _, err := l.Accept(); err != nil { // And then silence.
		t.Fatal(err)
	}
	start = time.Now()
	if err := b.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	// Two handshakes may be under way, one after the other: the subscription's, and that of the
	// connection that go-redis makes in its place. Each ends with the timeout of its read.
	if took := time.Since(start); took > 4*timeout {
		t.Errorf("Close took %s, want about two timeouts of a read, of %s each", took, timeout)
	}
}

func TestBell_SubscribesUntilItIsHeard(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client, fail := server.BreaksAtSubscribe(t)
	fail.Store(true)
	listen(t, client, "q")
	eventually(t, "the bell is subscribed", func() bool {
		return client.PubSubNumSub(t.Context(), channel("q")).Val()[channel("q")] == 1
	})
	if fail.Load() {
		t.Fatal("no write has failed: the test is no good")
	}
}
