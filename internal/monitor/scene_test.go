package monitor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/sirupsen/logrus"

	"github.com/cardworker/cardworker/tasks"
)

// What must show nowhere: a token of digits, one of both, one that is a word, and a card number.
const (
	tokenDigits = "103169946"
	tokenMixed  = "AB12CD34X"
	tokenWord   = "qwertzuio"
	cardNumber  = "4111111111111111"
)

var canaries = []string{tokenDigits, tokenMixed, tokenWord, cardNumber}

func wantNoCanary(t testing.TB, where, text string) {
	t.Helper()
	for _, c := range canaries {
		if i := strings.Index(text, c); i >= 0 {
			t.Errorf("%s shows %s: …%s…", where, c, text[max(0, i-80):min(len(text), i+len(c)+20)])
		}
	}
}

// scene is a Redis in which plain asynq producers, a worker and a scheduler have left a task in every
// state, each with a token in its payload, and in its error or result where it has one; and tasks by
// reference, as this module makes them, that were archived.
type scene struct {
	rdb       redis.UniversalClient
	inspector *asynq.Inspector
	release   chan struct{} // lets the active task end
}

// referenced are the operations of the tasks by reference. The first has digits that could be a
// token's, and still must be shown whole.
var referenced = []string{"cw07-01KAJ4S8123456789QD7WTXM4N", operationID}

// The fates that a task's reason asks for. The reason is a text of the producer, so it is hidden, too.
const (
	fateArchive = "archive " + cardNumber
	fateRetry   = "retry"
	fateHold    = "hold"
	fateDone    = "done"
)

func newScene(t testing.TB, rdb redis.UniversalClient) *scene {
	t.Helper()
	sc := &scene{rdb: rdb, inspector: asynq.NewInspectorFromRedisClient(rdb), release: make(chan struct{})}
	logger := logrus.New()
	logger.SetOutput(io.Discard)

	server := asynq.NewServerFromRedisClient(rdb, asynq.Config{
		Concurrency:       4,
		Queues:            map[string]int{tasks.QueueUnblock: 2, tasks.QueueRefresh: 1},
		TaskCheckInterval: 20 * time.Millisecond,
		RetryDelayFunc:    func(int, error, *asynq.Task) time.Duration { return time.Hour },
		Logger:            logger,
	})
	if err := server.Start(asynq.HandlerFunc(sc.work)); err != nil {
		t.Fatalf("start the worker: %v", err)
	}
	t.Cleanup(func() {
		close(sc.release)
		server.Shutdown()
	})
	sc.schedule(t, logger)

	hour := asynq.ProcessIn(time.Hour)
	keep := asynq.Retention(24 * time.Hour)
	sc.enqueue(t, tasks.TypeUnblockPIN, tokenDigits, fateArchive, asynq.TaskID(taskID("archived")))
	sc.enqueue(t, tasks.TypeUnblockCVV, tokenMixed, fateRetry, asynq.TaskID(taskID("retry")))
	sc.enqueue(t, tasks.TypeUnblockPIN, tokenDigits, fateHold, asynq.TaskID(taskID("active")))
	sc.enqueue(t, tasks.TypeStatusCVV, tokenWord, fateDone, asynq.TaskID(taskID("completed")), keep)
	sc.enqueue(t, tasks.TypeStatusPIN, tokenWord, fateDone, asynq.TaskID(taskID("scheduled")), hour)
	sc.enqueue(t, tasks.TypeStatusPIN, tokenMixed, fateDone, asynq.TaskID(taskID("aggregating")), asynq.Group("batch"))
	// Nobody serves this queue.
	sc.enqueue(t, tasks.TypeConfirmPIN, tokenDigits, fateDone, asynq.TaskID(taskID("pending")))

	client := asynq.NewClientFromRedisClient(rdb)
	for i, typ := range []tasks.Type{tasks.TypeUnblockPIN, tasks.TypeUnblockCVV} {
		p := tasks.ByReference(referenced[i], 1)
		if _, err := client.Enqueue(asynq.NewTask(string(typ), p.Encode()), asynq.Queue(tasks.QueueUnblock), asynq.TaskID(referenced[i])); err != nil {
			t.Fatalf("enqueue %s: %v", typ, err)
		}
	}
	for i := range 48 {
		sc.enqueue(t, tasks.TypeStatusPIN, fmt.Sprintf("2%08d", i), fateDone, keep)
		sc.enqueue(t, tasks.TypeStatusPIN, fmt.Sprintf("3%08d", i), fateDone, hour)
		if i%4 == 0 {
			sc.enqueue(t, tasks.TypeUnblockPIN, fmt.Sprintf("4%08d", i), fateDone, keep)
		}
		if i%16 == 0 {
			sc.enqueue(t, tasks.TypeUnblockCVV, fmt.Sprintf("5%08d", i), fateRetry)
		}
	}
	sc.await(t)
	return sc
}

// work does what the payload's reason asks for, and says more than it should.
func (sc *scene) work(ctx context.Context, task *asynq.Task) error {
	var p tasks.Payload
	if err := json.Unmarshal(task.Payload(), &p); err != nil {
		return err
	}
	switch {
	case !p.SelfContained():
		return fmt.Errorf("%s: card_not_found: the API does not know this card for this client: %w", p.OperationID, asynq.SkipRetry)
	case p.Reason == fateArchive:
		return fmt.Errorf("card %s, number 4111 1111 1111 1111 (%s): status 404: %w", p.PublicToken, cardNumber, asynq.SkipRetry)
	case p.Reason == fateRetry:
		return fmt.Errorf("card %s: Put \"https://gateway.example/thr/thredd/card-cvv/%s/cvv/status\": 503", p.PublicToken, p.PublicToken)
	case p.Reason == fateHold:
		select {
		case <-sc.release:
		case <-ctx.Done():
		}
		return nil
	}
	_, err := task.ResultWriter().Write(fmt.Appendf(nil, `{"version":1,"public_token":%q,"note":"card %s"}`, p.PublicToken, p.PublicToken))
	return err
}

func (sc *scene) enqueue(t testing.TB, typ tasks.Type, token, fate string, opts ...asynq.Option) {
	t.Helper()
	p := tasks.Payload{Version: 1, PublicToken: token, Reason: fate, UpdatedBy: "card " + token}
	client := asynq.NewClientFromRedisClient(sc.rdb)
	_, err := client.Enqueue(asynq.NewTask(string(typ), p.Encode(), append(opts, asynq.Queue(typ.Policy().Queue))...))
	if err != nil {
		t.Fatalf("enqueue %s: %v", typ, err)
	}
}

// schedule leaves an entry of a periodic task.
func (sc *scene) schedule(t testing.TB, logger asynq.Logger) {
	t.Helper()
	scheduler := asynq.NewSchedulerFromRedisClient(sc.rdb, &asynq.SchedulerOpts{
		Logger:            logger,
		HeartbeatInterval: time.Second,
	})
	p := tasks.Payload{Version: 1, PublicToken: tokenDigits, Reason: cardNumber}
	_, err := scheduler.Register("@every 1h", asynq.NewTask(string(tasks.TypeStatusPIN), p.Encode()))
	if err != nil {
		t.Fatalf("register a periodic task: %v", err)
	}
	if err := scheduler.Start(); err != nil {
		t.Fatalf("start the scheduler: %v", err)
	}
	t.Cleanup(scheduler.Shutdown)
}

// await returns once every task has met its fate and the worker has reported the active one,
// which asynq does every five seconds.
func (sc *scene) await(t testing.TB) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		missing := sc.missing()
		if missing == nil {
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("the scene is not complete in time: %v", missing)
		case <-tick.C:
		}
	}
}

func (sc *scene) missing() error {
	for _, state := range []string{"archived", "retry", "active", "completed", "scheduled", "aggregating", "pending"} {
		info, err := sc.inspector.GetTaskInfo(queueOf(state), taskID(state))
		if err != nil {
			return err
		}
		if info.State.String() != state {
			return fmt.Errorf("task %s is %s", taskID(state), info.State)
		}
	}
	refresh, err := sc.inspector.GetQueueInfo(tasks.QueueRefresh)
	if err != nil {
		return err
	}
	if refresh.Pending+refresh.Active > 0 {
		return fmt.Errorf("%d refreshes are not done", refresh.Pending+refresh.Active)
	}
	servers, err := sc.inspector.Servers()
	if err != nil {
		return err
	}
	if len(servers) != 1 || len(servers[0].ActiveWorkers) != 1 {
		return fmt.Errorf("the worker has not reported the active task")
	}
	entries, err := sc.inspector.SchedulerEntries()
	if err != nil {
		return err
	}
	if len(entries) != 1 {
		return fmt.Errorf("%d scheduler entries", len(entries))
	}
	return nil
}

// taskID names the scene's task of the state. The lists of asynqmon show what is before the first dash.
func taskID(state string) string { return "4f2a9c10-" + state }

// queueOf returns the queue that holds the scene's task of the state.
func queueOf(state string) string {
	switch state {
	case "pending":
		return tasks.QueueConfirm
	case "completed", "scheduled", "aggregating":
		return tasks.QueueRefresh
	default:
		return tasks.QueueUnblock
	}
}
