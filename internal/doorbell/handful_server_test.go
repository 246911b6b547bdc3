package doorbell

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// serveHandful is serve with a Handful between the bell and rdb.
func serveHandful(t testing.TB, b *Bell, rdb redis.UniversalClient, queues ...string) <-chan string {
	t.Helper()
	got := make(chan string, 10_000)
	h, stop := startHandful(t, b, rdb, tell(got), queues...)
	t.Cleanup(func() {
		stop()
		if err := h.PutBack(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("PutBack: %v", err)
		}
	})
	return got
}

// startHandful starts a server that takes tasks by the handful, and returns what lets it take no more.
func startHandful(t testing.TB, b *Bell, rdb redis.UniversalClient, handler asynq.Handler, queues ...string) (h *Handful, stop func()) {
	t.Helper()
	h = newHandful(rdb, serverPlaces, queues...)
	server := newServer(b.Client(h, queues...), queues...)
	err := server.Start(asynq.HandlerFunc(func(ctx context.Context, task *asynq.Task) error {
		defer h.Ended()
		return handler.ProcessTask(ctx, task)
	}))
	if err != nil {
		t.Fatalf("start an asynq server: %v", err)
	}
	t.Cleanup(func() {
		b.Release()
		server.Shutdown()
	})
	return h, func() {
		b.Release()
		server.Stop()
	}
}

// putMany enqueues tasks named after their number, in one go for each queue.
func putMany(t testing.TB, rdb redis.UniversalClient, queue string, from, to int) {
	t.Helper()
	producer := asynq.NewClientFromRedisClient(rdb)
	for i := from; i < to; i++ {
		name := fmt.Sprint(i)
		_, err := producer.EnqueueContext(t.Context(), asynq.NewTask("test", []byte(queue+"/"+name)), asynq.Queue(queue), asynq.TaskID(name))
		if err != nil {
			t.Fatalf("enqueue %s: %v", name, err)
		}
	}
}

func TestHandful_TwoServersRunEachTaskOnce(t *testing.T) {
	t.Parallel()
	onEveryRedis(t, func(t *testing.T, rdb redis.UniversalClient, queue string) {
		n := 2500
		if strings.HasSuffix(queue, "-embedded") || strings.HasSuffix(queue, "-cluster") {
			n = 500 // They are slower, and what matters is the first.
		}
		queues := []string{queue + "-a", queue + "-b"}
		for _, q := range queues {
			putMany(t, rdb, q, 0, n)
		}
		var mu sync.Mutex
		ran := map[string]int{}
		done := make(chan struct{})
		handler := asynq.HandlerFunc(func(_ context.Context, task *asynq.Task) error {
			mu.Lock()
			defer mu.Unlock()
			ran[string(task.Payload())]++
			if len(ran) == 2*n {
				select {
				case <-done:
				default:
					close(done)
				}
			}
			return nil
		})
		for range 2 {
			startHandful(t, listen(t, rdb, queues...), rdb, handler, queues...)
		}
		receive(t, "all tasks are run", done)
		inspector := asynq.NewInspectorFromRedisClient(rdb)
		for _, q := range queues {
			eventually(t, "nothing is left", func() bool {
				info, err := inspector.GetQueueInfo(q)
				return err == nil && info.Size == 0
			})
		}
		mu.Lock()
		defer mu.Unlock()
		for name, times := range ran {
			if times != 1 {
				t.Errorf("task %s ran %d times, want once", name, times)
			}
		}
	})
}

func TestHandful_HandsTasksOutInTheOrderOfTheQueueTheUrgentFirst(t *testing.T) {
	t.Parallel()
	onEveryRedis(t, func(t *testing.T, rdb redis.UniversalClient, queue string) {
		queues := []string{queue + "-a", queue + "-b"}
		const n = 150
		for _, q := range queues {
			putMany(t, rdb, q, 0, n)
		}
		teach(t, rdb)
		look := func(h *Handful) (string, bool) {
			for _, q := range queues {
				if id, ok := takeOne(t, h, q); ok {
					return q + "/" + id, true
				}
			}
			return "", false
		}
		h := newHandful(rdb, 2*n+1, queues...)
		next := map[string]int{}
		urgentLeft := n
		for range 2 * n {
			got, ok := look(h)
			if !ok {
				t.Fatalf("nothing more is found after %v", next)
			}
			q, id, _ := strings.Cut(got, "/")
			if id != fmt.Sprint(next[q]) {
				t.Fatalf("%s came, want %d", got, next[q])
			}
			next[q]++
			if q == queues[0] {
				urgentLeft--
			}
			// Those that came in the round trips in which it was found out that there are many urgent ones
			// precede the rest of these.
			if q == queues[1] && next[q] > mostTaken && urgentLeft > 0 {
				t.Fatalf("%s came before %d urgent ones", got, urgentLeft)
			}
		}
		if got, ok := look(h); ok {
			t.Errorf("%s came once too often", got)
		}
	})
}

// takeScript does what asynq's does, which cannot be had.
var takeScript = redis.NewScript(`
local id = redis.call('RPOPLPUSH', KEYS[1], KEYS[3])
if not id then return nil end
redis.call('HSET', ARGV[2] .. id, 'state', 'active')
redis.call('ZADD', KEYS[4], ARGV[1], id)
return redis.call('HGET', ARGV[2] .. id, 'msg')`)

func teach(t testing.TB, rdb redis.UniversalClient) {
	t.Helper()
	if err := takeScript.Load(t.Context(), rdb).Err(); err != nil {
		t.Fatalf("SCRIPT LOAD: %v", err)
	}
}

// takeOne looks at a queue once, as asynq does, and returns the id of the task.
func takeOne(t testing.TB, h *Handful, queue string) (id string, ok bool) {
	t.Helper()
	lease := time.Now().Add(time.Minute).Unix()
	message, err := takeScript.EvalSha(t.Context(), h, DequeueKeys(queue), lease, TaskPrefix(queue)).Text()
	if errors.Is(err, redis.Nil) {
		return "", false
	}
	if err != nil {
		t.Fatalf("look at %s: %v", queue, err)
	}
	if id, err = taskID(message); err != nil {
		t.Fatalf("a task of %s: %v", queue, err)
	}
	return id, true
}

func TestHandful_NoMoreIsActiveThanCanRunAndAFew(t *testing.T) {
	t.Parallel()
	onEveryRedis(t, func(t *testing.T, rdb redis.UniversalClient, queue string) {
		queues := []string{queue + "-a", queue + "-b"}
		for _, q := range queues {
			putMany(t, rdb, q, 0, 100)
		}
		begun, open := make(chan struct{}, 1000), make(chan struct{})
		h, _ := startHandful(t, listen(t, rdb, queues...), rdb, asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
			begun <- struct{}{}
			<-open
			return nil
		}), queues...)
		active := func() int {
			n := 0
			for _, q := range queues {
				n += int(rdb.LLen(t.Context(), DequeueKeys(q)[2]).Val())
			}
			return n
		}
		for i := range 100 {
			if i >= serverPlaces {
				open <- struct{}{}
			}
			receive(t, "a task begins", begun)
			// One may be taken of the second queue when the first was not expected to have any, and the
			// end of one may be on its way.
			if n := active(); n > serverPlaces+2 {
				t.Fatalf("%d tasks are active, want at most %d and two", n, serverPlaces)
			}
		}
		close(open)
		eventually(t, "all have run", func() bool { return active() == 0 && len(begun) == 100 })
		eventually(t, "all places are free", func() bool { return h.Free() == serverPlaces })
	})
}

func TestHandful_APausedQueueIsLeftAlone(t *testing.T) {
	t.Parallel()
	onEveryRedis(t, func(t *testing.T, rdb redis.UniversalClient, queue string) {
		queues := []string{queue + "-a", queue + "-b"}
		inspector := asynq.NewInspectorFromRedisClient(rdb)
		for _, q := range queues {
			putMany(t, rdb, q, 0, 20)
		}
		if err := inspector.PauseQueue(queues[0]); err != nil {
			t.Fatalf("PauseQueue: %v", err)
		}
		got := serveHandful(t, listen(t, rdb, queues...), rdb, queues...)
		for range 20 {
			if name := receive(t, "a task is run", got); !strings.HasPrefix(name, queues[1]) {
				t.Errorf("%s was run, of a queue that is paused", name)
			}
		}
		if n := len(ids(t, inspector.ListPendingTasks, queues[0], asynq.TaskStatePending)); n != 20 {
			t.Errorf("%d tasks wait in the paused queue, want 20", n)
		}
		if err := inspector.UnpauseQueue(queues[0]); err != nil {
			t.Fatalf("UnpauseQueue: %v", err)
		}
		for range 20 {
			receive(t, "a task is run after the pause", got)
		}
	})
}

// garble overwrites asynq's message of a task with something that is none. Three ways are known to go wrong: no
// protocol buffer at all, one that breaks off, and a text that is not UTF-8.
func garble(t testing.TB, rdb redis.UniversalClient, queue, id string) {
	t.Helper()
	key := TaskPrefix(queue) + id
	message, err := rdb.HGet(t.Context(), key, "msg").Result()
	if err != nil {
		t.Fatalf("read the message of %s: %v", id, err)
	}
	n, err := strconv.Atoi(id)
	if err != nil {
		t.Fatal(err)
	}
	bad := []string{"not a message", message[:len(message)-1], "\x0a\x01\xff" + message}[n%3]
	if err := rdb.HSet(t.Context(), key, "msg", bad).Err(); err != nil {
		t.Fatalf("garble %s: %v", id, err)
	}
}

// wantArchived checks which tasks of the queue are archived, and that nothing else knows of them.
func wantArchived(t testing.TB, rdb redis.UniversalClient, queue string, want ...string) {
	t.Helper()
	got, err := rdb.ZRange(t.Context(), archivedKey(queue), 0, -1).Result()
	slices.Sort(got)
	slices.Sort(want)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("archived are %v, %v, want %v", got, err, want)
	}
	for _, id := range want {
		if state := rdb.HGet(t.Context(), TaskPrefix(queue)+id, "state").Val(); state != "archived" {
			t.Errorf("task %s is %q, want archived", id, state)
		}
		if err := rdb.ZScore(t.Context(), DequeueKeys(queue)[3], id).Err(); !errors.Is(err, redis.Nil) {
			t.Errorf("the lease of task %s = %v, want none", id, err)
		}
		if err := rdb.LPos(t.Context(), DequeueKeys(queue)[2], id, redis.LPosArgs{}).Err(); !errors.Is(err, redis.Nil) {
			t.Errorf("task %s is active (%v), want it not to be", id, err)
		}
	}
}

// asynq complains of a message that it cannot decode and asks for the next. It stays active, and when its lease
// has ended asynq finds no lost task of any queue any more.
func TestHandful_WhatAsynqCannotDecodeIsArchivedAndTakesNoPlace(t *testing.T) {
	t.Parallel()
	onEveryRedis(t, func(t *testing.T, rdb redis.UniversalClient, queue string) {
		const bad = 3 * serverPlaces
		putMany(t, rdb, queue, 0, bad+1)
		var want []string
		for i := range bad {
			garble(t, rdb, queue, fmt.Sprint(i))
			want = append(want, fmt.Sprint(i))
		}
		got := make(chan string, 10)
		h, _ := startHandful(t, listen(t, rdb, queue), rdb, tell(got), queue)
		if payload := receive(t, "the good one is taken", got); payload != fmt.Sprint(queue, "/", bad) {
			t.Errorf("took %s", payload)
		}
		eventually(t, "nothing is active", func() bool { return rdb.LLen(t.Context(), DequeueKeys(queue)[2]).Val() == 0 })
		wantArchived(t, rdb, queue, want...)
		if n := h.Free(); n != serverPlaces {
			t.Errorf("%d places are free, want all %d", n, serverPlaces)
		}
	})
}
