package tasks

import "slices"

// Event is what changed an operation, by the name that it has in the operation's history.
type Event string

// The events of an operation.
const (
	// EventAccepted: a backend asked for the operation, and it was recorded.
	EventAccepted Event = "accepted"
	// EventJoined: another request for the same became part of it.
	EventJoined Event = "joined"
	// EventBegun: a worker took the lease for an attempt.
	EventBegun Event = "begun"
	// EventRetry: an attempt ended, and another is due later.
	EventRetry Event = "retry"
	// EventReadBlocked: a confirming read said blocked, and the status is read again later.
	EventReadBlocked Event = "read_blocked"
	// EventUnblockAccepted: the API accepted the unblock.
	EventUnblockAccepted Event = "unblock_accepted"
	// EventRedispatched: a task that was lost, or whose worker was, is replaced; the fence goes up.
	EventRedispatched Event = "redispatched"
	// EventExpired: a worker took the lease after the time was over, to end it.
	EventExpired Event = "expired"
	// EventSucceeded and EventFailed: the result was written, by a worker or, of an operation that could only
	// expire, for a new request for the card.
	EventSucceeded Event = "succeeded"
	EventFailed    Event = "failed"
	// EventRedriven: an operator gave a failed operation another life.
	EventRedriven Event = "redriven"
)

// Events lists every event, in the order in which they first can happen.
func Events() []Event {
	return []Event{
		EventAccepted, EventJoined, EventBegun, EventRetry, EventReadBlocked, EventUnblockAccepted,
		EventRedispatched, EventExpired, EventSucceeded, EventFailed, EventRedriven,
	}
}

// Phase tells more of a state that is not terminal: what a worker has done since the operation's task
// was last given out. Terminal states have none.
type Phase string

// The phases.
const (
	// Waiting: no worker has begun the task.
	Waiting Phase = "waiting"
	// Begun: a worker has, and perhaps is between two attempts.
	Begun Phase = "begun"
	// Overdue: the operation's time was over when a worker came; only its end is left.
	Overdue Phase = "overdue"
)

// Stage is where an operation's events have brought it. The zero value is before its first.
type Stage struct {
	State State
	Phase Phase
}

// Transition is one line of the state machine: what an event makes of an operation.
type Transition struct {
	From  Stage
	Event Event
	To    Stage
	// Why says in a few words when it happens, where the event alone does not.
	Why string
}

// Transitions returns the whole state machine. An event that has no line for a stage cannot happen there.
// Two lines with the same stage and event mean that the event alone does not tell which it was.
func Transitions() []Transition { return slices.Clone(transitions) }

// After returns the stages that an event may lead to, none when it cannot happen.
func (s Stage) After(e Event) []Stage {
	var next []Stage
	for _, t := range transitions {
		if t.From == s && t.Event == e {
			next = append(next, t.To)
		}
	}
	return next
}

// The stages.
var (
	unborn            = Stage{}
	acceptedWaiting   = Stage{Accepted, Waiting}
	acceptedOverdue   = Stage{Accepted, Overdue}
	runningWaiting    = Stage{Running, Waiting}
	runningBegun      = Stage{Running, Begun}
	runningOverdue    = Stage{Running, Overdue}
	confirmingWaiting = Stage{Confirming, Waiting}
	confirmingBegun   = Stage{Confirming, Begun}
	confirmingOverdue = Stage{Confirming, Overdue}
	succeeded         = Stage{State: Succeeded}
	failed            = Stage{State: Failed}
)

// transitions is the state machine. After a redispatch no run that began before it can write, which is why
// it leads back to waiting: a success needs a begin after it. A run that comes before its time takes the
// lease without a begin, and hands it back as a retry or, when its task cannot be read, fails it. So does a request
// that finds an operation that nobody runs and that can only expire.
var transitions = []Transition{
	{unborn, EventAccepted, acceptedWaiting, ""},

	{acceptedWaiting, EventJoined, acceptedWaiting, ""},
	{acceptedWaiting, EventRedispatched, acceptedWaiting, "its task was lost"},
	{acceptedWaiting, EventBegun, runningBegun, "a worker begins"},
	{acceptedWaiting, EventExpired, acceptedOverdue, ""},
	{acceptedWaiting, EventFailed, failed, "its time was over when somebody asked anew"},
	{acceptedOverdue, EventJoined, acceptedOverdue, ""},
	{acceptedOverdue, EventRedispatched, acceptedOverdue, ""},
	{acceptedOverdue, EventExpired, acceptedOverdue, ""},
	{acceptedOverdue, EventFailed, failed, "no worker began in time"},

	{runningBegun, EventJoined, runningBegun, ""},
	{runningBegun, EventBegun, runningBegun, "another attempt"},
	{runningBegun, EventRetry, runningBegun, ""},
	{runningBegun, EventRedispatched, runningWaiting, "its worker was lost"},
	{runningBegun, EventExpired, runningOverdue, ""},
	{runningBegun, EventUnblockAccepted, confirmingWaiting, "by the API"},
	{runningBegun, EventSucceeded, succeeded, "a status was read, for a refresh or instead of a second unblock"},
	{runningBegun, EventFailed, failed, "permanent, or no tries or time left"},
	{runningWaiting, EventJoined, runningWaiting, ""},
	{runningWaiting, EventBegun, runningBegun, ""},
	{runningWaiting, EventRetry, runningWaiting, ""},
	{runningWaiting, EventRedispatched, runningWaiting, ""},
	{runningWaiting, EventExpired, runningOverdue, ""},
	{runningWaiting, EventFailed, failed, ""},
	{runningOverdue, EventJoined, runningOverdue, ""},
	{runningOverdue, EventRedispatched, runningOverdue, ""},
	{runningOverdue, EventExpired, runningOverdue, ""},
	{runningOverdue, EventFailed, failed, ""},

	{confirmingWaiting, EventJoined, confirmingWaiting, ""},
	{confirmingWaiting, EventBegun, confirmingBegun, ""},
	{confirmingWaiting, EventRetry, confirmingWaiting, ""},
	{confirmingWaiting, EventRedispatched, confirmingWaiting, ""},
	{confirmingWaiting, EventExpired, confirmingOverdue, ""},
	{confirmingWaiting, EventFailed, failed, ""},
	{confirmingBegun, EventJoined, confirmingBegun, ""},
	{confirmingBegun, EventBegun, confirmingBegun, ""},
	{confirmingBegun, EventRetry, confirmingBegun, "unreadable"},
	{confirmingBegun, EventReadBlocked, confirmingBegun, "read again"},
	{confirmingBegun, EventRedispatched, confirmingWaiting, ""},
	{confirmingBegun, EventExpired, confirmingOverdue, ""},
	{confirmingBegun, EventSucceeded, succeeded, "the status says unblocked"},
	{confirmingBegun, EventFailed, failed, "still blocked, or unconfirmed"},
	{confirmingOverdue, EventJoined, confirmingOverdue, ""},
	{confirmingOverdue, EventRedispatched, confirmingOverdue, ""},
	{confirmingOverdue, EventExpired, confirmingOverdue, ""},
	{confirmingOverdue, EventFailed, failed, ""},

	{failed, EventRedriven, acceptedWaiting, "by an operator"},
	{failed, EventRedriven, confirmingWaiting, "by an operator, when the API had accepted the unblock"},
}
