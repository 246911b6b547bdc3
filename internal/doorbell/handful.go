package doorbell

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// longPay is how long a look may wait for a place and still bring a task. The lease that asynq makes of it is as old as
// the look.
const longPay = 5 * time.Second

// mostTaken is how many tasks of one queue are taken in one round trip. With one millisecond to Redis it
// allows tens of thousands a second, and what a killed process had taken and not begun stays small.
const mostTaken = 64

// Handful stands in front of an asynq server's client and takes tasks by the handful. asynq takes one per
// round trip, one after the other, so that a server gets no more tasks in a second than there are round
// trips in it, whatever its concurrency. A Handful looks at all of the server's queues in one round trip, for
// as many tasks as there are free places, and hands them out as asynq asks. It runs asynq's own script, as
// asynq sends it.
//
// How many it tries to take follows from what it found: one of an empty queue, twice as many when it found
// all it asked for. So an idle server costs no more than without.
//
// What was taken and not yet handed out is active for asynq. [Handful.PutBack] returns it when the server
// stops. When the process is killed, it is a task whose worker was lost like any other.
//
// It must be used by one server only, whose queues have strict priorities.
type Handful struct {
	redis.UniversalClient
	queues []*taken // the most urgent first
	share  *Share
	stop   <-chan struct{} // ends waits for a place
	paid   int             // places that are taken for what was taken and not yet handed out

	mu      sync.Mutex // of the tasks that were given
	refuses bool       // the server takes no more tasks
}

// taken is what was taken from one queue.
type taken struct {
	queue string
	tasks []string // encoded messages of asynq, the next one first
	given []string // the same, by Give; under the lock
	empty bool     // the queue was seen empty, and asynq is about to ask
	want  int      // how many to take next time; 0 of one that was empty, which is asked for one all the same
}

// NewHandful returns a Handful on rdb for a server of these queues, the most urgent first; at least one is
// needed. Tasks are handed out, and taken, as far as the server's share of the places goes; a look waits until there
// is one, or until stop is closed. [Handful.Ended] must be called for each task that the server has run.
func NewHandful(rdb redis.UniversalClient, share *Share, stop <-chan struct{}, queues ...string) *Handful {
	h := &Handful{UniversalClient: rdb, share: share, stop: stop}
	for _, q := range queues {
		h.queues = append(h.queues, &taken{queue: q})
	}
	return h
}

// Give hands the server a task of one of its queues that its process has made active itself, as asynq's message. It is
// begun before those that wait in Redis, as soon as there is a place; who gives it wakes the server. It reports false
// after [Handful.Refuse]: then that and [Handful.PutBack] have to be called once more. It is safe for concurrent use.
func (h *Handful) Give(queue, message string) bool {
	t := h.queues[h.of(queue)]
	h.mu.Lock()
	defer h.mu.Unlock()
	t.given = append(t.given, message)
	return !h.refuses
}

// given returns the next task that was given for queue i or one before it, and its queue.
func (h *Handful) given(i int) (queue, message string, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range h.queues[:i+1] {
		if len(t.given) > 0 {
			message, t.given = t.given[0], t.given[1:]
			return t.queue, message, true
		}
	}
	return "", "", false
}

// Ended gives back the place of a task. asynq writes down the end of a task behind that, and so long one that
// was taken for its place waits.
func (h *Handful) Ended() { h.share.give(1) }

// Free returns how many more tasks the server could begin now.
func (h *Handful) Free() int { return h.share.Free() }

// EvalSha answers a look at a queue from what was taken, or takes more. All looks come from the server's one
// looking goroutine.
func (h *Handful) EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) *redis.Cmd {
	i := h.of(dequeues(keys))
	if i < 0 || len(args) != 2 {
		return h.UniversalClient.EvalSha(ctx, sha1, keys, args...)
	}
	reply := redis.NewCmd(ctx, "evalsha", sha1)
	asked := time.Now()
	if !h.pay() || time.Since(asked) > longPay { // A place that it has waited for it keeps for the next look.
		reply.SetErr(redis.Nil)
		return reply
	}
	defer h.settle()
	if queue, task, ok := h.given(i); ok {
		reply.SetVal(task)
		h.handOut(ctx, queue, task)
		return reply
	}
	var err error
	if h.holding() == 0 && !h.queues[i].empty {
		err = h.take(ctx, sha1, i, args[0])
	}
	h.queues[i].empty = false
	// Normally there is nothing of the queues before this one. Whichever queue it is from, asynq reads that
	// from the task. While a less urgent queue has something, it is begun first, so that this queue waits
	// for no more than that.
	for _, t := range h.queues[:i+1] {
		if len(t.tasks) > 0 {
			reply.SetVal(t.tasks[0])
			h.handOut(ctx, t.queue, t.tasks[0])
			t.tasks = t.tasks[1:]
			return reply
		}
	}
	if err == nil || h.holding() > 0 {
		err = redis.Nil
	}
	reply.SetErr(err)
	return reply
}

// Eval is how asynq looks when Redis does not know the script. It takes one task.
func (h *Handful) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	i := h.of(dequeues(keys))
	if i < 0 {
		return h.UniversalClient.Eval(ctx, script, keys, args...)
	}
	if !h.pay() {
		cmd := redis.NewCmd(ctx, "eval", script)
		cmd.SetErr(redis.Nil)
		return cmd
	}
	defer h.settle()
	cmd := h.UniversalClient.Eval(ctx, script, keys, args...)
	if task, err := cmd.Text(); err == nil {
		h.handOut(ctx, h.queues[i].queue, task)
	}
	return cmd
}

// pay sees to it that there is a place for the next task. It reports false when the server is to stop.
func (h *Handful) pay() bool {
	if h.paid == 0 && h.share.take(h.stop) {
		h.paid = 1
	}
	return h.paid > 0
}

// settle gives back the places that nothing was taken for.
func (h *Handful) settle() {
	if over := h.paid - h.holding(); over > 0 {
		h.paid -= over
		h.share.give(over)
	}
}

// handOut notes that a task is about to begin. One that asynq cannot decode it only complains of, and asks for
// the next: it takes no place.
func (h *Handful) handOut(ctx context.Context, queue, task string) {
	if decodes(task) {
		h.paid--
		return
	}
	// Should it fail, the task is left as asynq leaves it.
	_ = h.setAside(ctx, queue, task)
}

// of returns the index of a queue, or -1.
func (h *Handful) of(queue string) int {
	for i, t := range h.queues {
		if t.queue == queue {
			return i
		}
	}
	return -1
}

// holding returns how many tasks were taken and not yet handed out.
func (h *Handful) holding() (n int) {
	for _, t := range h.queues {
		n += len(t.tasks)
	}
	return n
}

// take looks at all queues at once, when nothing is left of any, for a look at queue i. Those after it are the
// ones that asynq is about to ask for; of those before it that were found empty it would only hear in the
// next round, when there may be something in them. The error is what went wrong with any.
func (h *Handful) take(ctx context.Context, sha1 string, i int, lease any) error {
	h.paid += h.share.try(h.wanted() - h.paid)
	free := h.paid
	pipe := h.Pipeline()
	looks := make([][]*dequeue, len(h.queues))
	for j, t := range h.queues {
		n := min(max(1, t.want), free)
		if j == i {
			n = max(1, n)
		}
		// A queue that was empty will be empty, and takes no places from those after it. One that has more
		// than can be taken at once leaves them none.
		if free -= min(t.want, n); t.want == mostTaken {
			free = 0
		}
		for range n {
			l := t.dequeue(ctx, sha1, lease)
			looks[j] = append(looks[j], l)
			_ = pipe.Process(ctx, l) // It is sent with the others.
		}
	}
	_, _ = pipe.Exec(ctx) // Each look has its own error.
	var failed error
	for j, t := range h.queues {
		err := t.learn(looks[j])
		t.empty = j > i && len(looks[j]) > 0 && err == nil && len(t.tasks) == 0
		if failed == nil {
			failed = err
		}
	}
	return failed
}

// wanted returns how many tasks the looks at all queues may bring.
func (h *Handful) wanted() (n int) {
	for _, t := range h.queues {
		n += max(1, t.want)
	}
	return n
}

// dequeue is asynq's script that takes a task, on its way. go-redis repeats all looks of a round trip when the
// connection is lost before the last answer; the tasks of the answers that were there must not be lost with
// it.
type dequeue struct {
	*redis.Cmd
	into *taken
	kept string // the last task it brought
}

// firstKey is where the first key is among the arguments of a script.
const firstKey = 3

func (t *taken) dequeue(ctx context.Context, sha1 string, lease any) *dequeue {
	args := []any{"evalsha", sha1, 4}
	for _, k := range dequeueKeys(t.queue) {
		args = append(args, k)
	}
	l := &dequeue{Cmd: redis.NewCmd(ctx, append(args, lease, taskPrefix(t.queue))...), into: t}
	l.SetFirstKeyPos(firstKey)
	return l
}

// SetErr is how go-redis ends each try: without an error there is an answer. It may say so twice.
func (d *dequeue) SetErr(err error) {
	if task, ok := d.Val().(string); ok && err == nil && task != d.kept {
		d.into.tasks = append(d.into.tasks, task)
		d.kept = task
	}
	d.Cmd.SetErr(err)
}

// learn decides from what the looks found how many to take next time. The error is what else came of them.
func (t *taken) learn(looks []*dequeue) (failed error) {
	for _, l := range looks {
		if err := l.Err(); err != nil && !errors.Is(err, redis.Nil) {
			failed = err
		}
	}
	if t.want = len(t.tasks); t.want >= len(looks) {
		t.want *= 2
	}
	t.want = min(t.want, mostTaken)
	return failed
}
