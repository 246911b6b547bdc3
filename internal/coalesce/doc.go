// Package coalesce sends scripts that are called at the same time to Redis in one round trip.
//
// A worker with hundreds of tasks in flight calls a script every few microseconds, each of them alone on a
// connection: most of what it costs both sides is not the script but reading and writing the sockets. A
// client of this package sends a call at once while few are under way; those that come meanwhile go
// together as soon as one of them is back. So nothing waits for a timer, a lone caller sees no
// difference, and the busier it gets the fewer round trips there are.
//
// Each call keeps its own reply, its own error and its own deadline. go-redis has a pipeliner of its own for
// this, which is experimental, holds calls back in the hope of more, and does not let go of one whose
// context has ended.
//
// What callers want may go together in another way than in one round trip, as one script for all of them: that is what a
// [Lane] is for.
package coalesce
