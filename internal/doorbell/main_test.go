package doorbell

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/ontime"
	"github.com/cardworker/cardworker/internal/redisconn"
	"github.com/cardworker/cardworker/internal/redistest"
)

func TestMain(m *testing.M) {
	redisconn.SetLogger(nil) // The tests that take Redis away know that it is gone.
	redistest.Main(m)
}

const (
	// patience is how long a test waits for what should happen. It is for a machine that is busy.
	patience = 30 * time.Second
	// quick is how soon a task is taken that somebody rang for. Without the ring it takes up to a second.
	quick = 100 * time.Millisecond
	// slow is how soon a task is taken that nobody rang for: once a second the bell asks.
	slow = askInterval + 200*time.Millisecond
	// jitter is what a busy machine may add to slow.
	jitter = 800 * time.Millisecond
)

// onEveryRedis runs a test on each kind of Redis. Rings are heard in all databases of a server, so a test
// takes a queue of its own.
func onEveryRedis(t *testing.T, test func(t *testing.T, rdb redis.UniversalClient, queue string)) {
	t.Helper()
	for name, client := range map[string]func(testing.TB) redis.UniversalClient{
		"server":   func(t testing.TB) redis.UniversalClient { c, _ := redistest.Shared(t); return c },
		"embedded": func(t testing.TB) redis.UniversalClient { c, _ := redistest.Embedded(t); return c },
		"cluster":  func(t testing.TB) redis.UniversalClient { return redistest.StartCluster(t, 3).Client(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, client(t), queueOfTest(t))
		})
	}
}

func queueOfTest(t testing.TB) string { return strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-")) }

// listen returns a bell that is closed with the test.
func listen(t testing.TB, rdb redis.UniversalClient, queues ...string) *Bell {
	t.Helper()
	b := Listen(rdb, queues...)
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return b
}

// serve runs an asynq server on a client of the bell's until the test ends, and tells which tasks it gets.
func serve(t testing.TB, b *Bell, rdb redis.UniversalClient, queues ...string) <-chan string {
	t.Helper()
	got := make(chan string, 1000)
	server := newServer(b.Client(rdb, queues...), queues...)
	if err := server.Start(tell(got)); err != nil {
		t.Fatalf("start an asynq server: %v", err)
	}
	t.Cleanup(func() {
		b.Release()
		server.Shutdown()
	})
	return got
}

func tell(got chan<- string) asynq.Handler {
	return asynq.HandlerFunc(func(_ context.Context, task *asynq.Task) error {
		got <- string(task.Payload())
		return nil
	})
}

// serverPlaces is how many tasks a server of a test runs at once.
const serverPlaces = 10

func newServer(rdb redis.UniversalClient, queues ...string) *asynq.Server {
	priorities := map[string]int{}
	for i, q := range queues {
		priorities[q] = len(queues) - i
	}
	return asynq.NewServerFromRedisClient(rdb, asynq.Config{
		Concurrency: serverPlaces, Queues: priorities, StrictPriority: true, TaskCheckInterval: 50 * time.Microsecond,
		// Nothing but the bell brings a task.
		DelayedTaskCheckInterval: time.Hour,
		LogLevel:                 asynq.FatalLevel,
	})
}

// put enqueues a task on a client, which may be one that rings.
func put(t testing.TB, rdb redis.UniversalClient, queue, name string, opts ...asynq.Option) {
	t.Helper()
	opts = append(opts, asynq.Queue(queue), asynq.TaskID(name))
	_, err := asynq.NewClientFromRedisClient(rdb).EnqueueContext(t.Context(), asynq.NewTask("test", []byte(name)), opts...)
	if err != nil {
		t.Fatalf("enqueue %s: %v", name, err)
	}
}

// pickups has some tasks taken, each put when the one before has been taken, and returns how long they
// waited, in order of length.
func pickups(t testing.TB, rdb redis.UniversalClient, queue, name string, n int, got <-chan string) []time.Duration {
	t.Helper()
	took := make([]time.Duration, n)
	producer := asynq.NewClientFromRedisClient(rdb)
	for i := range took {
		start := time.Now()
		_, err := producer.EnqueueContext(t.Context(), asynq.NewTask("test", []byte(name)), asynq.Queue(queue))
		if err != nil {
			t.Fatalf("enqueue: %v", err)
		}
		if id := receive(t, "the task is taken", got); id != name {
			t.Fatalf("took %s, want %s", id, name)
		}
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	t.Logf("%s: p50 %s, max %s", name, took[n/2], took[n-1])
	return took
}

// wantQuick checks that tasks are taken when it rings. One slow moment of the machine is allowed for.
func wantQuick(t testing.TB, rdb redis.UniversalClient, queue, name string, got <-chan string) {
	t.Helper()
	const n = 15
	ontime.Once(t, func(int) error {
		if took := pickups(t, Ringing(rdb), queue, name, n, got); took[n-n/5] > quick {
			return fmt.Errorf("%s: four of five tasks are taken within %s, want %s: %v", name, took[n-n/5], quick, took)
		}
		return nil
	})
}

// newHandful returns a Handful of a server that has so many places to itself.
func newHandful(rdb redis.UniversalClient, places int, queues ...string) *Handful {
	return NewHandful(rdb, NewPlaces(places).Share(0), nil, queues...)
}

// receive waits for a signal.
func receive[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("not in %s: %s", patience, what)
		panic("unreachable")
	}
}

// eventually waits until something is so that nobody tells of.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not in %s: %s", patience, what)
		}
	}
}

// subscribed waits until Redis has as many subscribers for the queue's rings.
func subscribed(t testing.TB, rdb redis.UniversalClient, queue string, n int64) {
	t.Helper()
	eventually(t, "the rings have subscribers", func() bool {
		subs, err := rdb.PubSubNumSub(t.Context(), channel(queue)).Result()
		return err == nil && subs[channel(queue)] == n
	})
}
