// Package failpoint names the places at which an operation can be interrupted, and interrupts there in a
// build that is made for it.
//
// In the normal build [Hit] is empty, and the compiler removes it together with the names. With the build
// tag faultpoints it does what the variable [Env] says: the fault suite builds such a worker and has it
// killed, suspended or panic at each of the places.
package failpoint

// Env names the variable that says what happens where, as POINT:HIT=ACTION, several apart by commas. HIT is
// a number n for the nth time alone, or *n for every nth time. ACTION is kill (SIGKILL), stop (SIGSTOP) or
// panic.
const Env = "CARDWORKER_FAILPOINT"

// Point is a place between two things that can be seen from outside of the process.
type Point string

// The points, in the order of an operation's life.
const (
	// AfterAccept: a producer has recorded the operation, and where that is a step of its own it has not enqueued its task.
	AfterAccept Point = "after-accept"

	// AfterDequeue: a task has been taken from asynq, and the run has not begun.
	AfterDequeue Point = "after-dequeue"
	// AfterBegin: the run has the lease.
	AfterBegin Point = "after-begin"
	// BeforeUnblock and AfterUnblock: an unblock is about to be sent; it was answered, or failed.
	BeforeUnblock Point = "before-unblock"
	AfterUnblock  Point = "after-unblock"
	// BeforeRead and AfterRead: the same for a read of the status.
	BeforeRead Point = "before-read"
	AfterRead  Point = "after-read"

	// BeforeChain: an accepted unblock is about to be recorded. AfterChain: it is, and the confirming task is about to
	// be enqueued, or given to the worker that has begun it. AfterChained: that is done, too.
	BeforeChain  Point = "before-chain"
	AfterChain   Point = "after-chain"
	AfterChained Point = "after-chained"
	// BeforeFinish and AfterFinish: around the write of the result.
	BeforeFinish Point = "before-finish"
	AfterFinish  Point = "after-finish"
	// BeforeYield and AfterYield: around the write of an attempt that did not end the operation.
	BeforeYield Point = "before-yield"
	AfterYield  Point = "after-yield"
	// WhilePausing: a run has the lease and is about to wait for its next attempt.
	WhilePausing Point = "while-pausing"
	// BeforeHandBack and AfterHandBack: around the write that gives up the lease before the next attempt.
	BeforeHandBack Point = "before-hand-back"
	AfterHandBack  Point = "after-hand-back"
	// BeforeDone: the run is over, and asynq has not been told.
	BeforeDone Point = "before-done"

	// BeforeRedispatch: recovery has found an operation in need. AfterRedispatch: it has given it a new
	// fence, and the new task is about to be enqueued.
	BeforeRedispatch Point = "before-redispatch"
	AfterRedispatch  Point = "after-redispatch"
)

// Points returns all points.
func Points() []Point {
	return []Point{
		AfterAccept,
		AfterDequeue, AfterBegin, BeforeUnblock, AfterUnblock, BeforeRead, AfterRead,
		BeforeChain, AfterChain, AfterChained, BeforeFinish, AfterFinish,
		BeforeYield, AfterYield, WhilePausing, BeforeHandBack, AfterHandBack, BeforeDone,
		BeforeRedispatch, AfterRedispatch,
	}
}
