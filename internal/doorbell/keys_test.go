package doorbell

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/redistest"
)

// recognised is what the recognisers make of a script's keys.
type recognised struct{ Enqueues, Dequeues, Forwards string }

func recognise(keys []string) recognised {
	return recognised{Enqueues(keys), dequeues(keys), forwards(keys)}
}

func TestKeys_AreRecognised(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		keys []string
		want recognised
	}{
		{[]string{"asynq:{q}:t:1", "asynq:{q}:pending"}, recognised{Enqueues: "q"}},
		{[]string{"asynq:{q}:t:a:t:b}:t:c", "asynq:{q}:pending"}, recognised{Enqueues: "q"}},
		{[]string{"asynq:{a:b}:t:1", "asynq:{a:b}:pending"}, recognised{Enqueues: "a:b"}},
		{[]string{"asynq:{a}b}:t:1", "asynq:{a}b}:pending"}, recognised{Enqueues: "a}b"}},
		{[]string{"asynq:{{a}}:t:1", "asynq:{{a}}:pending"}, recognised{Enqueues: "{a}"}},
		{[]string{"asynq:{a}:pending}:t:1", "asynq:{a}:pending}:pending"}, recognised{Enqueues: "a}:pending"}},
		{[]string{"asynq:{q}:pending", "asynq:{q}:paused", "asynq:{q}:active", "asynq:{q}:lease"}, recognised{Dequeues: "q"}},
		{
			[]string{"asynq:{a}:paused}:pending", "asynq:{a}:paused}:paused", "asynq:{a}:paused}:active", "asynq:{a}:paused}:lease"},
			recognised{Dequeues: "a}:paused"},
		},
		{[]string{"asynq:{q}:scheduled", "asynq:{q}:pending"}, recognised{Forwards: "q"}},
		{[]string{"asynq:{q}:retry", "asynq:{q}:pending"}, recognised{Forwards: "q"}},
		// A queue whose name looks like the key of a task.
		{[]string{"asynq:{x}:t:y}:retry", "asynq:{x}:t:y}:pending"}, recognised{Forwards: "x}:t:y"}},

		{nil, recognised{}},
		{[]string{"", ""}, recognised{}},
		{[]string{"asynq:{q}:t:1"}, recognised{}},
		{[]string{"asynq:{}:t:1", "asynq:{}:pending"}, recognised{}},
		{[]string{"asynq:{}:pending", "asynq:{}:paused", "", ""}, recognised{}},
		{[]string{"asynq:{q}:t:1", "asynq:{r}:pending"}, recognised{}},
		{[]string{"asynq:{q}:t:1", "asynq:{q}:scheduled"}, recognised{}},
		{[]string{"other:{q}:t:1", "asynq:{q}:pending"}, recognised{}},
		{[]string{"asynq:{q}:t:1", "other:{q}:pending"}, recognised{}},
		{[]string{"asynq:{q}:archived", "asynq:{q}:pending"}, recognised{}},
		{[]string{"asynq:{q}:pending", "asynq:{q}:archived"}, recognised{}},
		{[]string{"asynq:{q}:pending", "asynq:{r}:paused", "asynq:{q}:active", "asynq:{q}:lease"}, recognised{}},
		{[]string{"asynq:{q}:pending", "asynq:{q}:active", "asynq:{q}:paused", "asynq:{q}:lease"}, recognised{}},
		{[]string{"cardworker:{cw01}:op:1", "cardworker:{cw01}:leased"}, recognised{}},
	} {
		if diff := cmp.Diff(tc.want, recognise(tc.keys)); diff != "" {
			t.Errorf("recognise(%q): -want +got\n%s", tc.keys, diff)
		}
	}
}

// script is one run of one.
type script struct {
	text string
	keys []string
}

// recorder is a client that notes the scripts that run on it. It has Redis know none, so that each comes
// with its text.
type recorder struct {
	redis.UniversalClient
	mu      sync.Mutex
	scripts []script
}

func (r *recorder) EvalSha(ctx context.Context, sha1 string, keys []string, _ ...any) *redis.Cmd {
	cmd := redis.NewCmd(ctx, "evalsha", sha1, len(keys))
	cmd.SetErr(redis.ErrNoScript)
	return cmd
}

func (r *recorder) Eval(ctx context.Context, text string, keys []string, args ...any) *redis.Cmd {
	cmd := r.UniversalClient.Eval(ctx, text, keys, args...)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.scripts = append(r.scripts, script{text, keys})
	return cmd
}

func (r *recorder) recorded() []script {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]script(nil), r.scripts...)
}

// asynqs is what asynq's scripts do, by a line that only the one script has.
func asynqs(text, queue string) recognised {
	switch {
	case strings.Contains(text, `redis.call("LPUSH", KEYS[2], ARGV[2])`):
		return recognised{Enqueues: queue}
	case strings.Contains(text, "RPOPLPUSH"):
		return recognised{Dequeues: queue}
	case strings.Contains(text, `"LIMIT", 0, 100`) && strings.Contains(text, "LPUSH"):
		return recognised{Forwards: queue}
	}
	return recognised{}
}

// TestKeys_ThoseOfAsynqsScriptsAreRecognisedAndNoOthers runs all that a producer, a server and a monitor
// run, so that a new asynq whose scripts take other keys is noticed.
func TestKeys_ThoseOfAsynqsScriptsAreRecognisedAndNoOthers(t *testing.T) {
	t.Parallel()
	rdb, _ := redistest.Shared(t)
	const queue = "odd:{name}}:t:x"
	rec := &recorder{UniversalClient: rdb}

	for name, opts := range map[string][]asynq.Option{
		"plain":            nil,
		"kept":             {asynq.Retention(time.Hour)},
		"unique":           {asynq.Unique(time.Hour)},
		"retried":          {asynq.MaxRetry(3)},
		"archived":         {asynq.MaxRetry(0)},
		"handed back":      nil,
		"scheduled":        {asynq.ProcessIn(time.Second)},
		"scheduled unique": {asynq.ProcessIn(time.Second), asynq.Unique(time.Hour)},
		"run by hand":      {asynq.ProcessIn(time.Hour)},
		"put away":         {asynq.ProcessIn(time.Hour)},
	} {
		put(t, rec, queue, name, opts...)
	}
	inspector := asynq.NewInspectorFromRedisClient(rec)
	for _, do := range []func() error{
		func() error { return inspector.RunTask(queue, "run by hand") },
		func() error { return inspector.ArchiveTask(queue, "put away") },
		func() error { _, err := inspector.ListArchivedTasks(queue); return err },
		func() error { _, err := inspector.GetTaskInfo(queue, "put away"); return err },
		func() error { _, err := inspector.GetQueueInfo(queue); return err },
		func() error { return inspector.DeleteTask(queue, "put away") },
	} {
		if err := do(); err != nil {
			t.Errorf("as a monitor: %v", err)
		}
	}

	// Each task once, "retried" and what was handed back again.
	held, succeeded := make(chan struct{}), make(chan string, 20)
	server := asynq.NewServerFromRedisClient(rec, asynq.Config{
		Concurrency: 2, // one of them for the task that is held
		Queues:      map[string]int{queue: 1}, TaskCheckInterval: 5 * time.Millisecond,
		DelayedTaskCheckInterval: 50 * time.Millisecond, ShutdownTimeout: 50 * time.Millisecond, LogLevel: asynq.FatalLevel,
		RetryDelayFunc: func(int, error, *asynq.Task) time.Duration { return 0 },
	})
	err := server.Start(asynq.HandlerFunc(func(ctx context.Context, task *asynq.Task) error {
		name := string(task.Payload())
		retried, _ := asynq.GetRetryCount(ctx)
		switch {
		case name == "archived", name == "retried" && retried == 0:
			return errors.New("refused")
		case name == "handed back":
			close(held)
			<-ctx.Done()
			return ctx.Err()
		}
		succeeded <- name
		return nil
	}))
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	receive(t, "one task is held", held)
	seen := map[string]bool{}
	for len(seen) < 7 {
		seen[receive(t, "a task succeeds", succeeded)] = true
	}
	server.Shutdown()

	counts := map[recognised]int{}
	for _, s := range rec.recorded() {
		got, want := recognise(s.keys), asynqs(s.text, queue)
		counts[got]++
		if got != want {
			t.Errorf("recognise(%q) = %+v, want %+v for the script %s", s.keys, got, want, s.text)
		}
	}
	for _, what := range []recognised{{Enqueues: queue}, {Dequeues: queue}, {Forwards: queue}, {}} {
		if counts[what] == 0 {
			t.Errorf("no script of asynq's is recognised as %+v", what)
		}
	}
	for _, place := range []string{"retry", "archived", "completed"} {
		moved := slices.ContainsFunc(rec.recorded(), func(s script) bool {
			return slices.Contains(s.keys, keyPrefix+queue+"}:lease") && slices.Contains(s.keys, keyPrefix+queue+"}:"+place)
		})
		if !moved {
			t.Errorf("no task was moved to %s: the test has missed its aim", place)
		}
	}
}
