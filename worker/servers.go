package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/sirupsen/logrus"

	"github.com/cardworker/cardworker/internal/coalesce"
	"github.com/cardworker/cardworker/internal/doorbell"
	"github.com/cardworker/cardworker/tasks"
)

const (
	// lookAgainAt is asynq's pause after a look at empty queues. The waiting is done in the look itself:
	// it returns when somebody rings.
	lookAgainAt = 50 * time.Microsecond
	// forwardInterval is how often asynq looks for delayed tasks that are due. It is the fallback for
	// alarms that died with their worker, and recovery is quicker, so it may be slow.
	forwardInterval = 5 * time.Second
	// janitorInterval is how often asynq deletes completed tasks whose retention is over. Ours have none.
	janitorInterval = time.Minute
)

// server is one asynq server with what it stands on.
type server struct {
	*asynq.Server
	rdb   redis.UniversalClient // its own, to be closed after it
	bell  *doorbell.Bell
	tasks *doorbell.Handful
	jobs  chan job // to a goroutine that has none
	ended chan struct{}

	// giveUp gives up the leases of tasks that were given to the server and will not be run; nil when none are.
	giveUp  func(ctx context.Context, taskIDs []string)
	putting sync.Mutex

	share   *doorbell.Share
	long    time.Duration             // see longInHand
	drain   time.Duration             // how long running tasks have when it stops
	stopped atomic.Pointer[time.Time] // when it began to stop
}

// job is a task on its way to a goroutine that runs it.
type job struct {
	ctx    context.Context
	task   *asynq.Task
	result chan<- error
}

// newServers returns the asynq servers of a worker. Refreshes have a server of their own: a task that
// waits behind others of its server waits for the running ones too, whatever its priority. The servers share the
// places: each may use all that the other leaves, but refreshes always leave some free, so that an unblock finds a place
// however many refreshes wait, and begin no more than they can do at once, so that it is not held up on its way either.
func newServers(cfg Config, near *distance, done *ended, bell *doorbell.Bell, log logrus.FieldLogger) []*server {
	places := doorbell.NewPlaces(cfg.Concurrency)
	urgent, bulk := places.Share(0), places.Share(keptForUnblocks(cfg.Concurrency))
	bulk.LimitInHand(func() int { return refreshesInHand(near.get()) })
	return []*server{
		newServer(cfg, done, bell, log, "urgent", urgent, tasks.QueueConfirm, tasks.QueueUnblock),
		newServer(cfg, done, bell, log, "refresh", bulk, tasks.QueueRefresh),
	}
}

// keptForUnblocks returns how many of the places refreshes must leave free: an eighth, and when that is few, up to half.
// When there is but one place it is for whoever comes first, and for an unblock before a refresh.
func keptForUnblocks(places int) int { return max(places/8, min(places/2, 16)) }

// refreshesInHand returns how many refreshes are worked on when another may begin, those that wait for the API not
// counted. On two processors 20 keep the worker and a Redis beside it busy. What is on its way to a Redis that is so far
// away, or writes so slowly to its disk, is in nobody's way, so there may be more then.
func refreshesInHand(away time.Duration) int {
	const near, perMillisecond, most = 20, 12, 500
	return min(near+int(perMillisecond*away/time.Millisecond), most)
}

// newServer returns a server of the queues, the most urgent first.
func newServer(cfg Config, done *ended, bell *doorbell.Bell, log logrus.FieldLogger, role string, share *doorbell.Share, queues ...string) *server {
	s := &server{
		rdb: cfg.Connect("asynq-" + role), bell: bell, jobs: make(chan job), ended: make(chan struct{}),
		share: share, long: longInHand, drain: cfg.ShutdownTimeout,
	}
	repeats := &uncancelled{UniversalClient: coalesce.New(s.rdb), last: s.onlyRepeats}
	s.tasks = doorbell.NewHandful(repeats, share, bell.Released(), queues...)
	s.Server = asynq.NewServerFromRedisClient(endsOnce{bell.Client(s.tasks, queues...), done}, asynq.Config{
		BaseContext:              s.begin,
		ErrorHandler:             asynq.ErrorHandlerFunc(func(ctx context.Context, _ *asynq.Task, _ error) { leave(ctx) }),
		Concurrency:              cfg.Concurrency, // the share is what bounds it
		Queues:                   priorities(queues),
		StrictPriority:           true,
		RetryDelayFunc:           delayForAsynq,
		IsFailure:                isFailure,
		ShutdownTimeout:          cfg.ShutdownTimeout,
		TaskCheckInterval:        lookAgainAt,
		DelayedTaskCheckInterval: forwardInterval,
		JanitorInterval:          janitorInterval,
		Logger:                   asynqLog{log.WithField("component", "asynq")},
		LogLevel:                 asynq.WarnLevel,
	})
	return s
}

// start begins to run tasks with h. asynq makes a goroutine for each task, whose stack then has to grow, and be
// copied, several times. So the tasks run on goroutines that stay, and that have grown.
func (s *server) start(h asynq.Handler) error {
	return s.Start(asynq.HandlerFunc(func(ctx context.Context, t *asynq.Task) error {
		defer leave(ctx)
		result := make(chan error, 1)
		j := job{ctx, t, result}
		select {
		case s.jobs <- j:
		default:
			go s.work(h, j)
		}
		return <-result
	}))
}

// work runs a task, and then those that come when it has none. There are as many such goroutines as tasks were
// ever running at once.
func (s *server) work(h asynq.Handler, j job) {
	for {
		j.run(h)
		select {
		case j = <-s.jobs:
		case <-s.ended:
			return
		}
	}
}

// run runs the task. A panic that h lets through must not end the process, and asynq is not there to catch it.
func (j job) run(h asynq.Handler) {
	err := errPanic
	defer func() {
		_ = recover() // Its value may hold anything, so it is not repeated.
		j.result <- err
	}()
	err = h.ProcessTask(j.ctx, j.task)
}

// begin is asked by asynq for the context of each task that it was handed, one that ends before a handler
// gets it included.
func (s *server) begin() context.Context {
	return context.WithValue(context.Background(), placeKey{}, newPlace(s.share, s.long, s.tasks.Ended))
}

// give implements giver.
func (s *server) give(queue, message string) bool { return s.tasks.Give(queue, message) }

// putBack implements giver. It is called when asynq looks for no more tasks.
func (s *server) putBack(ctx context.Context) error {
	s.putting.Lock()
	defer s.putting.Unlock()
	// Whoever takes them next has to find their leases free.
	if given := s.tasks.Refuse(); len(given) > 0 && s.giveUp != nil {
		s.giveUp(ctx, given)
	}
	return s.tasks.PutBack(ctx)
}

// stop takes no more tasks, returns those that no handler has got, and waits for the running ones.
func (s *server) stop(log logrus.FieldLogger) {
	now := time.Now()
	s.stopped.Store(&now)
	s.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	if err := s.putBack(ctx); err != nil {
		log.Warnf("left to recovery: %v", err)
	}
	s.Shutdown()
	close(s.ended)
}

// onlyRepeats reports whether nothing is left of a server that stops but to repeat writes that have failed.
func (s *server) onlyRepeats() bool {
	at := s.stopped.Load()
	return at != nil && (s.share.Idle() || time.Since(*at) > s.drain)
}

// priorities gives the queues asynq's priorities, highest first.
func priorities(queues []string) map[string]int {
	p := map[string]int{}
	for i, q := range queues {
		p[q] = len(queues) - i
	}
	return p
}

// isFailure tells asynq what to count as a failure: not a task that comes back for a reason of ours, or of the gate's.
// asynq would archive the task of an open operation otherwise, when an outage is long.
func isFailure(err error) bool {
	var r *retryLater
	return !errors.As(err, &r) || !r.free
}

// asynqLog is the logger that asynq gets. Its Fatal must not end the process: who runs the worker decides
// that.
type asynqLog struct{ log logrus.FieldLogger }

func (l asynqLog) Debug(args ...any) { l.log.Debug(args...) }
func (l asynqLog) Info(args ...any)  { l.log.Info(args...) }
func (l asynqLog) Warn(args ...any)  { l.log.Warn(args...) }
func (l asynqLog) Error(args ...any) { l.log.Error(args...) }
func (l asynqLog) Fatal(args ...any) { l.log.Error(fmt.Sprint(args...)) }
