package worker

import (
	"context"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/sirupsen/logrus"

	"github.com/cardworker/cardworker/internal/doorbell"
)

// alarmTimeout bounds what an alarm does in Redis.
const alarmTimeout = 3 * time.Second

// alarms bring tasks that wait for a retry back on time. asynq would be up to three seconds late: it
// keeps whole seconds and looks now and then. An alarm lives in the process that set it; when that dies,
// asynq's own time holds.
type alarms struct {
	rdb       redis.UniversalClient
	inspector *asynq.Inspector
	log       logrus.FieldLogger

	mu     sync.Mutex
	closed bool
	set    map[*alarm]struct{}

	ringing sync.WaitGroup
}

type alarm struct {
	timer *time.Timer
	due   time.Time
	ring  func()
}

func newAlarms(rdb redis.UniversalClient, log logrus.FieldLogger) *alarms {
	return &alarms{rdb: rdb, inspector: asynq.NewInspectorFromRedisClient(rdb), log: log, set: map[*alarm]struct{}{}}
}

// at has a task run after d, if it still waits then.
func (as *alarms) at(queue, taskID string, d time.Duration) {
	as.mu.Lock()
	defer as.mu.Unlock()
	if as.closed {
		return
	}
	a := &alarm{due: time.Now().Add(d), ring: func() { as.ring(queue, taskID) }}
	a.timer = time.AfterFunc(d, func() {
		if as.forget(a) {
			defer as.ringing.Done()
			a.ring()
		}
	})
	as.set[a] = struct{}{}
}

// forget reports whether the alarm was set, and unsets it.
func (as *alarms) forget(a *alarm) bool {
	as.mu.Lock()
	defer as.mu.Unlock()
	_, ok := as.set[a]
	delete(as.set, a)
	if ok {
		as.ringing.Add(1) // Under the lock, so that await sees it or close has unset it.
	}
	return ok
}

func (as *alarms) ring(queue, taskID string) {
	// It fails when the task runs already or is gone, and then there is nothing to do. It fails, too,
	// when Redis cannot be reached, and then asynq brings the task later.
	if err := as.inspector.RunTask(queue, taskID); err != nil {
		as.log.Debugf("alarm for a task of queue %s: %v", queue, err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), alarmTimeout)
	defer cancel()
	if err := doorbell.Ring(ctx, as.rdb, queue); err != nil {
		as.log.Debugf("ring for queue %s: %v", queue, err)
	}
}

// await waits for what rang when the alarms were closed. Its calls have the timeouts of the connection.
func (as *alarms) await() { as.ringing.Wait() }

// close unsets all alarms, and rings at once for what was handed back just now, so that another worker need not
// find it. What rings goes on; see await. It is safe to call twice.
func (as *alarms) close() {
	as.mu.Lock()
	defer as.mu.Unlock()
	as.closed = true
	for a := range as.set {
		a.timer.Stop()
		if time.Until(a.due) <= soonest {
			as.ringing.Go(a.ring)
		}
	}
	clear(as.set)
}
