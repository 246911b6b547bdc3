package worker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/ontime"
	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/tasks"
)

// comesBackAfter returns an API that refuses each card's first unblock and asks to be asked again after d.
func comesBackAfter(d time.Duration) (api *fakeAPI, refused <-chan struct{}) {
	api = &fakeAPI{}
	c := make(chan struct{}, 100)
	api.unblock = func(_ context.Context, call fakeCall) error {
		if call.Nth > 1 {
			api.apply(call)
			return nil
		}
		c <- struct{}{}
		err := apiError(call.Name, payblr.ReasonThrottled, 429)
		err.RetryAfter = d
		return err
	}
	return api, c
}

// gaps returns the times between the first and the second call of this name for each card, in order of length.
func gaps(api *fakeAPI, name payblr.CallName) []time.Duration {
	first := map[string]time.Time{}
	var out []time.Duration
	for _, c := range api.made() {
		switch {
		case c.Name != name:
		case c.Nth == 1:
			first[c.Token] = c.At
		case c.Nth == 2:
			out = append(out, c.At.Sub(first[c.Token]))
		}
	}
	slices.Sort(out)
	return out
}

// secondCalls has a worker unblock some cards, others in each round, and returns how long after the first call of this
// name the second was, for each card, in order of length. None may come before it is due. Nothing but alarms brings one
// back.
func (r *rig) secondCalls(api *fakeAPI, name payblr.CallName, round, cards int, due time.Duration) []time.Duration {
	r.t.Helper()
	w := r.work(api, func(c *Config) { c.RecoveryInterval = time.Hour })
	var ids []string
	for i := range cards {
		ids = append(ids, r.accept(tasks.UnblockPIN, fmt.Sprint(100*round+i)).ID)
	}
	for _, id := range ids {
		wantEnd(r.t, r.wait(id), "")
	}
	stop(r.t, w)
	took := gaps(api, name)
	if len(took) != cards {
		r.t.Fatalf("%d cards had a second %s, want %d", len(took), name, cards)
	}
	r.t.Logf("calls due in %s came after p50 %s, max %s", due, took[cards/2], took[cards-1])
	if took[0] < due {
		r.t.Errorf("a call came after %s, before it was due in %s", took[0], due)
	}
	return took
}

// Not parallel to the others, which keep the processors busy: it measures milliseconds.
func TestAlarm_ARetryRunsOnTimeThoughAsynqKeepsWholeSeconds(t *testing.T) {
	onEachRedis(t, func(t *testing.T, r *rig) {
		const delay, cards = 1500 * time.Millisecond, 5
		late := 50 * time.Millisecond
		if strings.HasSuffix(t.Name(), "embedded") {
			late *= 5 // A command takes ten times as long there, and the cards come back together.
		}
		ontime.Once(t, func(round int) error {
			api, _ := comesBackAfter(delay)
			took := r.secondCalls(api, callUnblock, round, cards, delay)
			if took[cards/2] > delay+late || took[cards-1] > delay+5*late {
				return fmt.Errorf("retries ran after %s, want within %s of %s", took, late, delay)
			}
			return nil
		})
	})
}

// Not parallel to the others either.
func TestConfirm_ARereadRunsWithin20MillisecondsOfItsTime(t *testing.T) {
	r := newRig(t)
	const late, cards = 20 * time.Millisecond, 5
	due := rereadDelays[0]
	ontime.Once(t, func(round int) error {
		api := &fakeAPI{}
		api.status = func(_ context.Context, call fakeCall) (payblr.Status, error) {
			if call.Nth == 1 {
				return says(payblr.StatusBlocked), nil
			}
			return says(payblr.StatusUnblocked), nil
		}
		// The read is three steps after its timer, in two processes.
		var took []time.Duration
		machine := 3 * ontime.During(func() { took = r.secondCalls(api, callStatus, round, cards, due) })
		if took[cards-1] > due+late+machine {
			return fmt.Errorf("reads ran after %s, want within %s of %s, and the machine was late by %s", took, late, due, machine)
		}
		return nil
	})
}

func TestAlarm_OfADeadWorkerIsReplacedByRecovery(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const delay, bound = 1500 * time.Millisecond, 3 * time.Second
	api, refused := comesBackAfter(delay)
	dead := r.work(api, func(c *Config) { c.RecoveryInterval = time.Hour })
	acc := r.accept(tasks.UnblockPIN, "101")
	receive(t, "the first try is refused", refused)
	r.task(tasks.QueueUnblock, acc.ID+":1", asynq.TaskStateRetry)
	stop(t, dead) // And with it its alarms.
	// asynq itself looks for tasks that are due five seconds after the other worker's start.
	r.work(api, func(c *Config) { c.RecoveryInterval = 0 })
	wantEnd(t, r.wait(acc.ID), "")
	took := gaps(api, callUnblock)
	if len(took) != 1 || took[0] < delay || took[0] > delay+bound {
		t.Errorf("the retry due in %s ran after %s, want at most %s late", delay, took, bound)
	}
}

func TestAlarm_ForATaskThatNeedsNoneIsHarmless(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *rig) {
		api := newDoorman(true)
		w := r.work(api)
		ring := func(queue, id string) {
			t.Helper()
			w.alarms.ring(queue, id)
			w.alarms.ring(queue, id)
		}
		acc := r.accept(tasks.UnblockPIN, "101")
		receive(t, "the unblock is under way", api.entered)
		id := acc.ID + ":1"
		ring(tasks.QueueUnblock, id) // It runs.
		r.task(tasks.QueueUnblock, id, asynq.TaskStateActive)
		if pending := r.pending(tasks.QueueUnblock); len(pending) != 0 {
			t.Errorf("an alarm for a running task has put %v into its queue", pending)
		}
		close(api.open)
		wantEnd(t, r.wait(acc.ID), "")
		ring(tasks.QueueUnblock, id) // It is gone.
		ring("no such queue", id)
		if pending := r.pending(tasks.QueueUnblock); len(pending) != 0 {
			t.Errorf("an alarm for a task that is gone has put %v into its queue", pending)
		}
		stop(t, w)

		waiting := r.accept(tasks.UnblockPIN, "102").ID + ":1"
		ring(tasks.QueueUnblock, waiting) // It waits already, once.
		if diff := cmp.Diff([]string{waiting}, r.pending(tasks.QueueUnblock)); diff != "" {
			t.Errorf("the queue after alarms for a task in it: -want +got\n%s", diff)
		}
		wantCalls(t, api.fakeAPI, callUnblock, callStatus)
	})
}

// pending returns the ids of the tasks that wait in a queue.
func (r *rig) pending(queue string) []string {
	r.t.Helper()
	ids, err := r.rdb.LRange(r.t.Context(), "asynq:{"+queue+"}:pending", 0, -1).Result()
	if err != nil {
		r.t.Fatalf("LRANGE: %v", err)
	}
	return ids
}

// deafRedis knows no queue, and notes when it was asked for one.
type deafRedis struct {
	redis.UniversalClient
	mu    sync.Mutex
	asked []time.Time
}

func (d *deafRedis) SIsMember(ctx context.Context, key string, _ any) *redis.BoolCmd {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, time.Now())
	return redis.NewBoolCmd(ctx, "sismember", key)
}

// times returns when it was asked, counted from start.
func (d *deafRedis) times(start time.Time) []time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := []time.Duration{}
	for _, at := range d.asked {
		out = append(out, at.Sub(start))
	}
	return out
}

func TestAlarm_RingsWhenItIsDueAndNotAfterTheClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rdb := &deafRedis{}
		as := newAlarms(rdb, (&logBuffer{}).logger())
		start := time.Now()
		as.at("q", "late", 3*time.Second)
		as.at("q", "soon", 1500*time.Millisecond)
		as.at("q", "soon", 1500*time.Millisecond) // Another of the same task is one more.
		<-time.After(2 * time.Second)
		synctest.Wait()
		want := []time.Duration{1500 * time.Millisecond, 1500 * time.Millisecond}
		if diff := cmp.Diff(want, rdb.times(start)); diff != "" {
			t.Errorf("it rang at: -want +got\n%s", diff)
		}
		as.close()
		as.at("q", "too late", time.Second)
		as.close()
		<-time.After(time.Minute)
		synctest.Wait()
		if diff := cmp.Diff(want, rdb.times(start)); diff != "" {
			t.Errorf("after the close it rang at: -want +got\n%s", diff)
		}
		if len(as.set) != 0 {
			t.Errorf("%d alarms are kept after the close, want 0", len(as.set))
		}
	})
}

func TestAlarm_OneThatRingsDuringTheStopIsHarmless(t *testing.T) {
	t.Parallel()
	rdb, _ := redistest.Shared(t)
	log := &logBuffer{}
	as := newAlarms(rdb, log.logger())
	if err := rdb.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	as.close()
	as.ring("q", "1")
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, redis.ErrClosed.Error()) {
		t.Errorf("it logged %q, want one line that says %v", got, redis.ErrClosed)
	}
}
