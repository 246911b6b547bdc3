// Package worker runs the tasks: it takes them from asynq, calls the card processor's API, and writes what
// came of them back to the operation store.
//
// A task runs like this. It begins its operation ([opstore.Store.Begin]): that gives it a lease, which no
// two runs hold at once, and a fence, without which nothing is written. It makes one attempt at its step:
// unblock, confirm or refresh. An attempt ends in a verdict, and the verdict is written: the operation is
// finished, or passed on to its confirming task, or due for another attempt. Short waits are waited out
// in place, with the lease; for longer ones the task goes back to asynq.
//
// asynq delivers at least once, sometimes twice, and takes minutes to notice a dead worker. None of this
// is left to it: the lease makes a second delivery do nothing, and recovery gives an operation whose
// worker or task is gone a new task within seconds.
package worker
