package tasks

import "slices"

// State is where an operation stands. The zero value is no state and is not valid.
type State string

// The states of an operation.
const (
	// Accepted: the operation is recorded and waits for a worker.
	Accepted State = "accepted"
	// Running: a worker has begun it. It stays running between attempts.
	Running State = "running"
	// Confirming: the API accepted the unblock and the status has to be read back. Refreshes never
	// confirm.
	Confirming State = "confirming"
	// Succeeded is terminal: for an unblock, a status read after the API accepted it, or refused it as a
	// conflict, says unblocked; for a refresh, a status was read.
	Succeeded State = "succeeded"
	// Failed is terminal: see the operation's error. An operator may re-drive it.
	Failed State = "failed"
)

// States lists every state in the order an operation goes through them.
func States() []State { return []State{Accepted, Running, Confirming, Succeeded, Failed} }

// Done reports whether the state is terminal.
func (s State) Done() bool { return s == Succeeded || s == Failed }

// CanBecome reports whether an operation in state s may be in state next after one event. A failed
// operation becomes accepted, or confirming when its unblock had been accepted, by an operator's
// re-drive alone.
func (s State) CanBecome(next State) bool {
	return slices.ContainsFunc(transitions, func(t Transition) bool {
		return t.From.State == s && s != "" && t.To.State == next
	})
}
