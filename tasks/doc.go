// Package tasks is the contract between those who ask for work and those who do it: the kinds of
// operation, the tasks that carry them through the queue, the policy of each, and the [Operation] that a
// backend holds and reads.
//
// It imports the standard library alone and does no I/O. The parts meet like this: a backend asks for an
// operation of some [Kind] for one [PublicToken]; the operation runs as one or two tasks, each of a
// [Type] (an unblock is followed by a confirm), each carrying a [Payload] in JSON; the [Operation] moves
// through its [State]s and ends with a [Status] that was read from the card processor, or with an
// [Error] whose [Code] comes from a closed list.
//
// Everything here that reaches a wire (names, JSON fields, codes) has a golden file in testdata. A
// change of a golden file is a decision about a rolling deploy, not a refactoring.
package tasks
