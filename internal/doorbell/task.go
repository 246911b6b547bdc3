package doorbell

import (
	"strings"
	"time"
)

// leaseOfTaken is how long asynq leaves a task alone that was taken and is not begun.
const leaseOfTaken = 30 * time.Second

// Task is a task as asynq would enqueue it, for a script that writes it together with something else. Its keys are in
// one slot, which is that of no operation.
type Task struct {
	Queue, ID string
	// Message is asynq's encoding of the task.
	Message string
	// Since is when it is enqueued, in nanoseconds since 1970 by the clock of its process, like all times of asynq.
	Since int64
}

// Waiting returns the keys of the task and of its queue's pending tasks, and the channel to ring when it is there.
func (t Task) Waiting() (task, pending, bell string) {
	return TaskPrefix(t.Queue) + t.ID, pendingKey(t.Queue), channel(t.Queue)
}

// statsKept is how long asynq keeps how many tasks it has processed in a day.
const statsKept = 90 * 24 * time.Hour

// Active is a task that asynq has handed to a server, for a script that ends it together with something else. The zero
// value is none. Its keys are in one slot, which is that of no operation.
type Active struct{ Queue, ID string }

// Key returns the key of the task.
func (t Active) Key() string { return TaskPrefix(t.Queue) + t.ID }

// Done returns the keys of the queue's active tasks, of their leases, of the task, and of how many tasks of the queue
// were processed on the day of now and in all; and when the count of the day is to be forgotten, in seconds since 1970.
// asynq ends a task by them.
func (t Active) Done(now time.Time) (keys [5]string, until int64) {
	p := keyPrefix + t.Queue + "}:"
	today := p + "processed:" + now.UTC().Format(time.DateOnly)
	return [5]string{p + "active", p + "lease", t.Key(), today, p + "processed"}, now.Add(statsKept).Unix()
}

// Ends returns the key of the task that a script of asynq with these keys ends, if it has nothing else to do with it, or
// "".
func Ends(keys []string) string {
	if len(keys) != 5 {
		return ""
	}
	p, active := strings.CutSuffix(keys[0], "active")
	if !active || !strings.HasPrefix(p, keyPrefix) || keys[1] != p+"lease" || !strings.HasPrefix(keys[2], p+"t:") ||
		!strings.HasPrefix(keys[3], p+"processed:") || keys[4] != p+"processed" {
		return ""
	}
	return keys[2]
}

// Taken returns the keys of the task, of the mark that its queue is paused, of the queue's active tasks, and of their
// leases, and when its own ends, in seconds since 1970.
func (t Task) Taken() (task, paused, active, leases string, until int64) {
	keys := DequeueKeys(t.Queue)
	return TaskPrefix(t.Queue) + t.ID, keys[1], keys[2], keys[3], time.Unix(0, t.Since).Add(leaseOfTaken).Unix()
}
