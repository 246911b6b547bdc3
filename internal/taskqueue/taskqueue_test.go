package taskqueue_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/internal/taskqueue"
	"github.com/cardworker/cardworker/tasks"
)

func TestMain(m *testing.M) { redistest.Main(m) }

const id = "cw05-01KAJ4S7Q0Z5M2E8H6N3T9RXVB"

// onEveryRedis runs a test on each kind of Redis that tells commands apart by their keys.
func onEveryRedis(t *testing.T, test func(t *testing.T, rdb redis.UniversalClient)) {
	t.Helper()
	for name, client := range map[string]func(testing.TB) redis.UniversalClient{
		"server":   func(t testing.TB) redis.UniversalClient { c, _ := redistest.Shared(t); return c },
		"embedded": func(t testing.TB) redis.UniversalClient { c, _ := redistest.Embedded(t); return c },
		"cluster":  func(t testing.TB) redis.UniversalClient { return redistest.StartCluster(t, 3).Client(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, client(t))
		})
	}
}

func TestEnqueue_PutsTheTaskWithItsPolicy(t *testing.T) {
	t.Parallel()
	onEveryRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		queue, inspector := taskqueue.New(rdb), asynq.NewInspectorFromRedisClient(rdb)
		for i, typ := range tasks.Types() {
			policy := typ.Policy()
			taskID := id + ":" + string(rune('1'+i))
			for range 2 { // Again, as after a lost reply.
				if err := queue.Enqueue(t.Context(), typ, policy.Queue, taskID, tasks.ByReference(id, 1)); err != nil {
					t.Fatalf("Enqueue(%s) = %v", typ, err)
				}
			}
			info, err := inspector.GetTaskInfo(policy.Queue, taskID)
			if err != nil {
				t.Fatal(err)
			}
			if info.Type != string(typ) || info.State != asynq.TaskStatePending || info.Timeout != policy.Timeout || info.Retention != 0 {
				t.Errorf("%s: type %s, state %s, timeout %s, retention %s", typ, info.Type, info.State, info.Timeout, info.Retention)
			}
			// asynq counts without the first, and must be the last to give up.
			if info.MaxRetry < policy.Attempts {
				t.Errorf("%s: %d retries, want at least the %d attempts of the policy", typ, info.MaxRetry, policy.Attempts)
			}
			if p, err := tasks.DecodePayload(typ, info.Payload); err != nil || p.OperationID != id || p.Seq != 1 {
				t.Errorf("%s: payload %s, %v", typ, info.Payload, err)
			}
		}
		for _, name := range tasks.Queues() {
			if q, err := inspector.GetQueueInfo(name); err != nil || q.Pending != 2 {
				t.Errorf("queue %s: %+v, %v, want 2 pending", name, q, err)
			}
		}
	})
}

func TestPrepare_IsWhatEnqueueWrites(t *testing.T) {
	t.Parallel()
	onEveryRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		queue := taskqueue.New(rdb)
		p := tasks.ByReference(id, 2)
		task, err := queue.Prepare(t.Context(), tasks.TypeConfirmCVV, tasks.QueueConfirm, id+":2", p)
		if err != nil {
			t.Fatalf("Prepare = %v", err)
		}
		key, pending, _ := task.Waiting()
		if n, err := rdb.Exists(t.Context(), key, pending).Result(); err != nil || n != 0 {
			t.Errorf("%d keys of the task are there before it is written, %v", n, err)
		}
		if known, err := rdb.SIsMember(t.Context(), "asynq:queues", tasks.QueueConfirm).Result(); err != nil || !known {
			t.Errorf("asynq does not know the queue: %t, %v", known, err)
		}
		if age := time.Since(time.Unix(0, task.Since)); age < 0 || age > time.Minute {
			t.Errorf("it is pending since %d, %s ago, want now", task.Since, age)
		}
		if err := queue.Enqueue(t.Context(), tasks.TypeConfirmCVV, tasks.QueueConfirm, id+":2", p); err != nil {
			t.Fatal(err)
		}
		if want, err := rdb.HGet(t.Context(), key, "msg").Result(); err != nil || task.Message != want {
			t.Errorf("Prepare = %q, want %q, as Enqueue has written to %s (%v)", task.Message, want, key, err)
		}
		if ids, err := rdb.LRange(t.Context(), pending, 0, -1).Result(); err != nil || !slices.Equal(ids, []string{id + ":2"}) {
			t.Errorf("pending are %v, %v", ids, err)
		}
	})
}

func TestEnqueue_ErrorNamesTheTaskAndNoToken(t *testing.T) {
	t.Parallel()
	rdb, _ := redistest.Shared(t)
	if err := rdb.Set(t.Context(), "asynq:{unblock}:pending", "not a list", 0).Err(); err != nil {
		t.Fatal(err)
	}
	p := tasks.Payload{Version: 1, PublicToken: "Zq1234567"}
	err := taskqueue.New(rdb).Enqueue(t.Context(), tasks.TypeUnblockPIN, tasks.QueueUnblock, "1", p)
	if err == nil || !strings.Contains(err.Error(), "pin:unblock") || strings.Contains(err.Error(), "Zq1234567") {
		t.Errorf("Enqueue = %v, want an error that names the type and not the token", err)
	}
}

func TestStates_AreAsynqs(t *testing.T) {
	t.Parallel()
	onEveryRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		queue, inspector := taskqueue.New(rdb), asynq.NewInspectorFromRedisClient(rdb)
		refs := []taskqueue.Ref{{Queue: "refresh", ID: "nowhere"}}
		for queueName, typ := range map[string]tasks.Type{"unblock": tasks.TypeUnblockPIN, "confirm": tasks.TypeConfirmPIN, "refresh": tasks.TypeStatusCVV} {
			if err := queue.Enqueue(t.Context(), typ, queueName, "a", tasks.ByReference(id, 1)); err != nil {
				t.Fatal(err)
			}
			refs = append(refs, taskqueue.Ref{Queue: queueName, ID: "a"})
		}
		if err := queue.Enqueue(t.Context(), tasks.TypeStatusPIN, "refresh", "archived", tasks.ByReference(id, 1)); err != nil {
			t.Fatal(err)
		}
		if err := inspector.ArchiveTask("refresh", "archived"); err != nil {
			t.Fatal(err)
		}
		refs = append(refs, taskqueue.Ref{Queue: "refresh", ID: "archived"}, taskqueue.Ref{Queue: "refresh", ID: "nowhere either"})

		got, err := taskqueue.States(t.Context(), rdb, refs)
		want := []taskqueue.State{taskqueue.Gone, taskqueue.Pending, taskqueue.Pending, taskqueue.Pending, taskqueue.Archived, taskqueue.Gone}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("States = %q, %v, want %q", got, err, want)
		}
		if got, err := taskqueue.States(t.Context(), rdb, nil); err != nil || len(got) != 0 {
			t.Errorf("States of nothing = %q, %v", got, err)
		}
	})
}

func TestStates_ErrorIsNotGone(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	rdb := server.Client(t)
	server.Kill()
	got, err := taskqueue.States(t.Context(), rdb, []taskqueue.Ref{{Queue: "refresh", ID: "a"}, {}})
	if want := []taskqueue.State{taskqueue.Unknown, taskqueue.Gone}; err == nil || !slices.Equal(got, want) {
		t.Errorf("States without Redis = %q, %v, want %q, an error: a task that nobody looked up is not gone", got, err, want)
	}
}

func TestState_WhichComeByThemselves(t *testing.T) {
	t.Parallel()
	for state, want := range map[taskqueue.State]bool{
		taskqueue.Gone: false, taskqueue.Pending: true, taskqueue.Scheduled: true, taskqueue.Retry: true,
		taskqueue.Active: false, taskqueue.Archived: false, "completed": false,
	} {
		if got := state.Comes(); got != want {
			t.Errorf("%q.Comes() = %v, want %v", state, got, want)
		}
	}
}
