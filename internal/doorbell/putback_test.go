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
)

// ids returns the ids of a queue's tasks in a state, the next one first.
func ids(t testing.TB, list func(string, ...asynq.ListOption) ([]*asynq.TaskInfo, error), queue string, want asynq.TaskState) []string {
	t.Helper()
	infos, err := list(queue, asynq.PageSize(1000))
	if err != nil {
		t.Fatalf("list the tasks of %s: %v", queue, err)
	}
	var out []string
	for _, info := range infos {
		if info.State != want {
			t.Errorf("task %s is %s, want %s", info.ID, info.State, want)
		}
		out = append(out, info.ID)
	}
	return out
}

func TestPutBack_ReturnsTasksInTheirOrderToTheHeadOfTheQueue(t *testing.T) {
	t.Parallel()
	onEveryRedis(t, func(t *testing.T, rdb redis.UniversalClient, queue string) {
		putMany(t, rdb, queue, 0, 50)
		teach(t, rdb)
		h := newHandful(rdb, 1000, queue)
		for i := range 8 { // 1 + 2 + 4 were taken, and of the next eight one is handed out.
			if id, ok := takeOne(t, h, queue); !ok || id != fmt.Sprint(i) {
				t.Fatalf("look %d = %s, %t", i, id, ok)
			}
		}
		held := len(h.queues[0].tasks)
		if held == 0 {
			t.Fatal("nothing is held: the test has missed its aim")
		}
		// One of them is somebody else's by now.
		if n, err := rdb.LRem(t.Context(), DequeueKeys(queue)[2], 1, "9").Result(); err != nil || n != 1 {
			t.Fatalf("LREM = %d, %v", n, err)
		}
		for range 2 { // The second time there is nothing to do.
			if err := h.PutBack(t.Context()); err != nil {
				t.Fatalf("PutBack: %v", err)
			}
		}
		inspector := asynq.NewInspectorFromRedisClient(rdb)
		var want []string
		for i := 8; i < 50; i++ {
			if i != 9 {
				want = append(want, fmt.Sprint(i))
			}
		}
		if got := pendingOrder(t, rdb, queue); !slices.Equal(got, want) {
			t.Errorf("the queue is %v, want %v", got, want)
		}
		if got := ids(t, inspector.ListPendingTasks, queue, asynq.TaskStatePending); len(got) != len(want) {
			t.Errorf("%d tasks are pending, want %d", len(got), len(want))
		}
		if got := ids(t, inspector.ListActiveTasks, queue, asynq.TaskStateActive); len(got) != 8 {
			t.Errorf("active are %v, want the eight that were handed out", got)
		}
		if n, err := rdb.ZCard(t.Context(), DequeueKeys(queue)[3]).Result(); err != nil || n != 9 {
			t.Errorf("%d leases are left, %v; want those of the eight and of the one that was somebody else's", n, err)
		}
	})
}

func TestPutBack_ReturnsWhatWasGivenAsWell(t *testing.T) {
	t.Parallel()
	onEveryRedis(t, func(t *testing.T, rdb redis.UniversalClient, queue string) {
		putMany(t, rdb, queue, 0, 2)
		teach(t, rdb)
		other := newHandful(rdb, 1000, queue)
		for i := range 2 { // They are active, in this process.
			if id, ok := takeOne(t, other, queue); !ok || id != fmt.Sprint(i) {
				t.Fatalf("look %d = %s, %t", i, id, ok)
			}
		}
		h := newHandful(rdb, 1000, queue)
		given := func(id string) string {
			text, err := rdb.HGet(t.Context(), TaskPrefix(queue)+id, "msg").Result()
			if err != nil {
				t.Fatal(err)
			}
			return text
		}
		if !h.Give(queue, given("0")) {
			t.Error("Give = false while the server runs")
		}
		if ids := h.Refuse(); !slices.Equal(ids, []string{"0"}) {
			t.Errorf("Refuse = %v, want what was given", ids)
		}
		if err := h.PutBack(t.Context()); err != nil {
			t.Fatalf("PutBack: %v", err)
		}
		if h.Give(queue, given("1")) {
			t.Error("Give = true after the server refused more")
		}
		if ids := h.Refuse(); !slices.Equal(ids, []string{"1"}) {
			t.Errorf("Refuse = %v, want what was given after the first", ids)
		}
		if err := h.PutBack(t.Context()); err != nil {
			t.Fatalf("PutBack once more: %v", err)
		}
		if got, want := pendingOrder(t, rdb, queue), []string{"1", "0"}; !slices.Equal(got, want) {
			t.Errorf("the queue is %v, want %v", got, want)
		}
	})
}

// pendingOrder returns the ids of a queue's pending tasks, the next one first.
func pendingOrder(t testing.TB, rdb redis.UniversalClient, queue string) []string {
	t.Helper()
	all, err := rdb.LRange(t.Context(), pendingKey(queue), 0, -1).Result()
	if err != nil {
		t.Fatalf("LRANGE: %v", err)
	}
	slices.Reverse(all)
	return all
}

func TestPutBack_AnotherServerRunsThemAtOnce(t *testing.T) {
	t.Parallel()
	onEveryRedis(t, func(t *testing.T, rdb redis.UniversalClient, queue string) {
		ontime.Once(t, func(round int) error {
			if took := putBack(t, rdb, fmt.Sprint(queue, round)); took > 2*quick {
				return fmt.Errorf("what was put back was taken after %s, want %s", took, quick)
			}
			return nil
		})
	})
}

// putBack has a server return what it has not begun, and returns how long another took to take all of it.
func putBack(t *testing.T, rdb redis.UniversalClient, queue string) time.Duration {
	t.Helper()
	open := make(chan struct{})
	begun := make(chan string, 1000)
	h, stop := startHandful(t, listen(t, rdb, queue), rdb, asynq.HandlerFunc(func(_ context.Context, task *asynq.Task) error {
		begun <- string(task.Payload())
		<-open
		return nil
	}), queue)
	defer close(open)
	const n = 4
	for i := range n {
		put(t, Ringing(rdb), queue, fmt.Sprint(i))
		receive(t, "the task begins", begun)
	}
	stop()
	// It had taken some that it did not begin.
	putMany(t, rdb, queue, n, n+6)
	teach(t, rdb)
	held, handed := 0, 0
	for ; held == 0; held = len(h.queues[0].tasks) {
		id, ok := takeOne(t, h, queue)
		if !ok {
			t.Fatal("nothing is held: the test has missed its aim")
		}
		// It was handed to the test, not to a server.
		rdb.LRem(t.Context(), DequeueKeys(queue)[2], 1, id)
		handed++
	}

	second := listen(t, rdb, queue)
	got := serveHandful(t, second, rdb, queue)
	subscribed(t, rdb, queue, 1+1)
	eventually(t, "what waits is run", func() bool { return len(got) == 6-handed-held })
	for len(got) > 0 {
		<-got
	}
	start := time.Now()
	if err := h.PutBack(t.Context()); err != nil {
		t.Fatalf("PutBack: %v", err)
	}
	for range held {
		receive(t, "a task is taken", got)
	}
	return time.Since(start)
}

func TestPutBack_SaysWhatItCouldNotReturn(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	h := newHandful(s, 10, "a")
	h.queues[0].tasks = []Took{{}, {}} // They can be decoded, but have no id.
	err := h.PutBack(t.Context())
	if err == nil || strings.Count(err.Error(), errNoID.Error()) != 2 {
		t.Errorf("PutBack = %v, want twice %v", err, errNoID)
	}
}

func TestPutBack_ArchivesWhatAsynqCannotDecode(t *testing.T) {
	t.Parallel()
	onEveryRedis(t, func(t *testing.T, rdb redis.UniversalClient, queue string) {
		putMany(t, rdb, queue, 0, 7)
		garble(t, rdb, queue, "5")
		teach(t, rdb)
		h := newHandful(rdb, 1000, queue)
		for i := range 4 { // 1 + 2 + 4 were taken.
			if id, ok := takeOne(t, h, queue); !ok || id != fmt.Sprint(i) {
				t.Fatalf("look %d = %s, %t", i, id, ok)
			}
		}
		if err := h.PutBack(t.Context()); err != nil {
			t.Fatalf("PutBack: %v", err)
		}
		if got, want := pendingOrder(t, rdb, queue), []string{"4", "6"}; !slices.Equal(got, want) {
			t.Errorf("the queue is %v, want %v", got, want)
		}
		wantArchived(t, rdb, queue, "5")
		if n := rdb.LLen(t.Context(), DequeueKeys(queue)[2]).Val(); n != 4 {
			t.Errorf("%d tasks are active, want the four that were handed out", n)
		}
	})
}
