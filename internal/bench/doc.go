// Package bench measures this program against stock asynq, side by side in one run: the same Redis, the same
// stub of the API, the same work, which is a chain of two tasks (unblock, then confirm) that ends in a result
// somebody can read.
//
// "Stock" is asynq as it comes, with its default configuration; a second one has as many places for tasks as
// we have, so that asynq's default of one per processor decides nothing. "Ours" is the worker and the
// producer that users run, with all guarantees, the gate before the API and the log included.
//
// What is in doubt is decided for stock. Its result counts as readable when the handler's write of it has
// returned, ours when a waiting backend has read it. It has one queue to look at where its users would have
// several. It is not asked to survive anything.
//
// Measures are never mixed: accepting is measured without workers, draining without producers, latency
// in an open loop (from the moment a request was due, not from when it could be sent), idle cost with
// nothing to do. After every run each operation must have succeeded, and the API must have seen exactly one
// unblock and one read for it. Runs of the systems alternate; a figure is the median of the runs.
//
// Redis servers are processes of their own on free ports. So is the [relay] that makes Redis look distant, and
// the API where it is spoken to over HTTP: the binary runs itself again for them; see [RunPart].
package bench
