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
// asynq sends it, or that of a [Beginner], which does the same and more.
//
// How many it tries to take follows from what it found: one of an empty queue, twice as many when it found
// all it asked for and there may be more. So an idle server costs no more than without.
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
	begins Beginner        // nil: asynq's own script takes the tasks
	looks  int             // how often Redis was asked
	handed chan struct{}   // holds one word that something was given

	mu      sync.Mutex // of the tasks that were given
	refuses bool       // the server takes no more tasks
}

// Beginner begins tasks with the look that takes them, so that this needs no round trip of its own. Its methods are
// called by the server's one looking goroutine, or by what stops the server.
type Beginner interface {
	// Look returns the arguments of a command that takes a task from a queue with a lease of asynq's until then, as asynq's
	// script does, and what reads the answer to it; the command is sent later than now, and perhaps more than once.
	Look(queue string, lease any) (args []any, read func(answer any) (Took, error))
	// Text is the script that the command names: it is EVALSHA.
	Text() string
	// GiveUp gives up what was begun and will not be handed to asynq.
	GiveUp(ctx context.Context, taskIDs []string)
}

// Took is a task that a look has taken.
type Took struct {
	// Message is asynq's encoding of it.
	Message string
	// Begun is its id when it was begun, otherwise "".
	Begun string
	// Last says that its queue was empty then.
	Last bool
}

// taken is what was taken from one queue.
type taken struct {
	queue string
	tasks []Took   // the next one first
	given []string // encoded messages of asynq, by Give; under the lock
	empty bool     // the queue was seen empty, and asynq is about to ask
	ended bool     // the last look left it empty
	want  int      // how many to take next time; 0 of one that was empty, which is asked for one all the same
}

// NewHandful returns a Handful on rdb for a server of these queues, the most urgent first; at least one is
// needed. Tasks are handed out, and taken, as far as the server's share of the places goes; a look waits until there
// is one, or until stop is closed. [Handful.Ended] must be called for each task that the server has run.
func NewHandful(rdb redis.UniversalClient, share *Share, stop <-chan struct{}, queues ...string) *Handful {
	h := &Handful{UniversalClient: rdb, share: share, stop: stop, handed: make(chan struct{}, 1)}
	for _, q := range queues {
		h.queues = append(h.queues, &taken{queue: q})
	}
	return h
}

// Begins has the looks begin what they take. It is called before the first look.
func (h *Handful) Begins(b Beginner) { h.begins = b }

// Give hands the server a task of one of its queues that its process has made active itself, as asynq's message. It is
// begun before those that wait in Redis, as soon as there is a place; a look that waits is woken. It reports false
// after [Handful.Refuse]: then that and [Handful.PutBack] have to be called once more. It is safe for concurrent use.
func (h *Handful) Give(queue, message string) bool {
	t := h.queues[h.of(queue)]
	h.mu.Lock()
	defer h.mu.Unlock()
	t.given = append(t.given, message)
	select {
	case h.handed <- struct{}{}:
	default: // One word is enough.
	}
	return !h.refuses
}

// hasGiven reports whether something was given and not yet handed out.
func (h *Handful) hasGiven() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range h.queues {
		if len(t.given) > 0 {
			return true
		}
	}
	return false
}

// emptied reports whether the queues were all empty when Redis was last asked, and nothing is left of what was taken or
// given. What came to a queue later has rung, and what is given later says so.
func (h *Handful) emptied() bool {
	for _, t := range h.queues {
		if !t.ended || len(t.tasks) > 0 {
			return false
		}
	}
	return !h.hasGiven()
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
		h.handOut(ctx, queue, Took{Message: task})
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
			task := t.tasks[0]
			t.tasks = t.tasks[1:]
			reply.SetVal(task.Message)
			h.handOut(ctx, t.queue, task)
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
	h.looks++
	h.queues[i].ended = false
	cmd := h.UniversalClient.Eval(ctx, script, keys, args...)
	if task, err := cmd.Text(); err == nil {
		h.handOut(ctx, h.queues[i].queue, Took{Message: task})
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
func (h *Handful) handOut(ctx context.Context, queue string, task Took) {
	if decodes(task.Message) {
		h.paid--
		return
	}
	// Should it fail, the task is left as asynq leaves it.
	_ = h.setAside(ctx, queue, task.Message)
	if task.Begun != "" {
		h.begins.GiveUp(ctx, []string{task.Begun})
	}
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
	times := make([]int, len(h.queues))
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
		times[j] = n
	}
	looks := h.look(ctx, sha1, lease, times)
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

// look looks so many times at each queue, in one round trip. Each look has its own error.
func (h *Handful) look(ctx context.Context, sha1 string, lease any, times []int) [][]*dequeue {
	h.looks++
	looks := make([][]*dequeue, len(h.queues))
	for j, n := range times {
		looks[j] = make([]*dequeue, n)
	}
	if h.send(ctx, sha1, lease, looks, "") && h.begins != nil {
		h.send(ctx, sha1, lease, looks, h.begins.Text()) // asynq would have Redis learn its own script alone.
	}
	return looks
}

// send makes those of the looks that are not there yet, or that Redis did not know the script of. It reports whether
// there are such now. With a text the first of them brings the script.
func (h *Handful) send(ctx context.Context, sha1 string, lease any, looks [][]*dequeue, text string) (unknown bool) {
	pipe := h.Pipeline()
	for j, t := range h.queues {
		for k, l := range looks[j] {
			if l == nil || redis.HasErrorPrefix(l.Err(), "NOSCRIPT") {
				l = h.dequeue(ctx, t, sha1, lease)
				if text != "" {
					l.Args()[0], l.Args()[1], text = "eval", text, ""
				}
				looks[j][k] = l
				_ = pipe.Process(ctx, l) // It is sent with the others.
			}
		}
	}
	_, _ = pipe.Exec(ctx) // Each look has its own error.
	for _, some := range looks {
		for _, l := range some {
			unknown = unknown || redis.HasErrorPrefix(l.Err(), "NOSCRIPT")
		}
	}
	return unknown
}

// wanted returns how many tasks the looks at all queues may bring.
func (h *Handful) wanted() (n int) {
	for _, t := range h.queues {
		n += max(1, t.want)
	}
	return n
}

// dequeue is a script that takes a task, on its way. go-redis repeats all looks of a round trip when the
// connection is lost before the last answer; the tasks of the answers that were there must not be lost with
// it.
type dequeue struct {
	*redis.Cmd
	into *taken
	read func(answer any) (Took, error)
	kept Took // the last task it brought
}

// firstKey is where the first key is among the arguments of a script.
const firstKey = 3

func (h *Handful) dequeue(ctx context.Context, t *taken, sha1 string, lease any) *dequeue {
	d := &dequeue{into: t, read: readMessage}
	var args []any
	if h.begins != nil {
		args, d.read = h.begins.Look(t.queue, lease)
	} else {
		args = []any{"evalsha", sha1, 4}
		for _, k := range DequeueKeys(t.queue) {
			args = append(args, k)
		}
		args = append(args, lease, TaskPrefix(t.queue))
	}
	d.Cmd = redis.NewCmd(ctx, args...)
	d.SetFirstKeyPos(firstKey)
	return d
}

// readMessage reads the answer of asynq's script.
func readMessage(answer any) (Took, error) {
	message, _ := answer.(string)
	return Took{Message: message}, nil
}

// SetErr is how go-redis ends each try: without an error there is an answer. It may say so twice.
func (d *dequeue) SetErr(err error) {
	if err == nil && messageOf(d.Val()) != "" && messageOf(d.Val()) != d.kept.Message {
		if d.kept, err = d.read(d.Val()); err == nil {
			d.into.tasks = append(d.into.tasks, d.kept)
		}
	}
	d.Cmd.SetErr(err)
}

// messageOf returns asynq's message in an answer, "" when there is none.
func messageOf(answer any) string {
	if list, ok := answer.([]any); ok && len(list) > 0 {
		answer = list[0]
	}
	message, _ := answer.(string)
	return message
}

// learn decides from what the looks found how many to take next time. The error is what else came of them.
func (t *taken) learn(looks []*dequeue) (failed error) {
	t.ended = false
	for _, l := range looks {
		err := l.Err()
		if err != nil && !errors.Is(err, redis.Nil) {
			failed = err
		}
		t.ended = errors.Is(err, redis.Nil) || err == nil && l.kept.Last
	}
	if t.want = len(t.tasks); t.want >= len(looks) && !t.ended {
		t.want *= 2
	}
	t.want = min(t.want, mostTaken)
	return failed
}
