// Package doorbell lets asynq wait for work instead of polling for it.
//
// asynq looks at its queues, and when they are empty it sleeps and looks again. Whoever enqueues a task
// rings ([Ringing]): the ring travels by pub/sub in the same round trip as the task. A worker's server
// runs on a client ([Bell.Client]) whose looks at empty queues take until somebody rings, so that asynq's
// loop turns only when there may be something to find.
//
// A ring may be lost: nobody heard it because the connection was being made anew, or the task was put
// there by somebody who does not ring. The bell therefore asks once a second, with one command, whether
// anything waits, and that is how late such a task is found.
//
// A server that is busy takes tasks by the handful instead of one per round trip ([Handful]).
//
// Nothing of asynq is replaced: its keys are its own, and so are its scripts. The clients here stand in front of a
// go-redis client and pass everything through. A script of ours that writes or takes a task together with an operation
// does with the task what asynq would ([Task], [Beginner]).
package doorbell
