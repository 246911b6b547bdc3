package tasks

import "time"

// The queues, in the order of their urgency. A confirmation is the end of somebody's wait and comes
// first; refreshes may be a bulk job of a million cards and must not be felt by the others.
const (
	QueueConfirm = "confirm"
	QueueUnblock = "unblock"
	QueueRefresh = "refresh"
)

// Queues lists the queues, most urgent first.
func Queues() []string { return []string{QueueConfirm, QueueUnblock, QueueRefresh} }

// Policy says how a task of one type is run.
type Policy struct {
	// Queue is where the task waits.
	Queue string
	// Attempts is how often the step is tried, the first time included, before the operation fails.
	// The operation's expiry often ends it sooner.
	Attempts int
	// Timeout bounds one run of the task, all its waiting included, in whole seconds. It is a last
	// resort far above what a run takes: a dead worker is noticed by its lease within seconds.
	Timeout time.Duration
}

// MaxConfirmReads is how many confirming reads may say "blocked" before the operation fails with
// [CodeStillBlocked]. The API may lag behind its own writes, but each read may be billed.
const MaxConfirmReads = 5

// The default lifetimes of an operation: no call to the API starts later than that after acceptance.
const (
	DefaultUnblockExpiry = 5 * time.Minute
	DefaultRefreshExpiry = 2 * time.Minute
)

// Bounds of an operation's lifetime.
const (
	MinExpiry = time.Second
	MaxExpiry = 24 * time.Hour
)

// runTimeout is the same for every type: above the sum of every wait that a run can meet (two token
// requests, four calls of at most a minute each, and the pauses between them).
const runTimeout = 10 * time.Minute

// policies is one line for each type. An accepted unblock is confirmed until it expires: its attempts
// are only a bound on defects.
var policies = map[Type]Policy{
	TypeUnblockCVV: {Queue: QueueUnblock, Attempts: 12, Timeout: runTimeout},
	TypeUnblockPIN: {Queue: QueueUnblock, Attempts: 12, Timeout: runTimeout},
	TypeConfirmCVV: {Queue: QueueConfirm, Attempts: 20_000, Timeout: runTimeout},
	TypeConfirmPIN: {Queue: QueueConfirm, Attempts: 20_000, Timeout: runTimeout},
	TypeStatusCVV:  {Queue: QueueRefresh, Attempts: 8, Timeout: runTimeout},
	TypeStatusPIN:  {Queue: QueueRefresh, Attempts: 8, Timeout: runTimeout},
}

// Policy returns the policy of the type. The zero policy means that the type is unknown.
func (t Type) Policy() Policy { return policies[t] }

// DefaultExpiry returns how long an operation of this kind lives when nobody says otherwise.
func (k Kind) DefaultExpiry() time.Duration {
	if k.Unblocks() {
		return DefaultUnblockExpiry
	}
	return DefaultRefreshExpiry
}
