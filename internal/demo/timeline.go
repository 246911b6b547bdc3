package demo

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/cardworker/cardworker/internal/sandbox"
	"github.com/cardworker/cardworker/tasks"
)

// actor is whose doing an event is.
type actor string

const (
	actorBackend actor = "backend"
	actorWorker  actor = "worker"
	actorCall    actor = "worker → API"
	actorAPI     actor = "API"
)

// mood colours an event.
type mood int

const (
	plain mood = iota
	good
	bad
	quiet
)

// event is one line of a timeline.
type event struct {
	at   time.Time // by the clock of this process, whose monotonic reading orders the events
	who  actor
	what string
	mood mood
}

// timeline collects events as they become known. It is safe for concurrent use.
type timeline struct {
	mu     sync.Mutex
	events []event
}

func (tl *timeline) add(e event) {
	tl.mu.Lock()
	defer tl.mu.Unlock()
	tl.events = append(tl.events, e)
}

// ordered returns the events in the order in which they happened, those of the same moment in the order
// in which they were added.
func (tl *timeline) ordered() []event {
	tl.mu.Lock()
	defer tl.mu.Unlock()
	events := slices.Clone(tl.events)
	slices.SortStableFunc(events, func(a, b event) int { return a.at.Compare(b.at) })
	return events
}

// requestColumn is as wide as the longest of requestLines and the space after it.
const requestColumn = 20

// requestLines holds what each call is on the wire; the public token is in the part left out.
var requestLines = map[sandbox.Call]string{
	sandbox.CallUnblockPIN: "POST …/pin/unblock",
	sandbox.CallUnblockCVV: "PUT  …/cvv/status",
	sandbox.CallPINStatus:  "GET  …/pin/status",
	sandbox.CallCVVStatus:  "GET  …/cvv/status",
}

// worthTelling is how long a good answer of the API has to take before the timeline says so. Of a failure
// the reason matters more, and there is no room for both.
const worthTelling = 10 * time.Millisecond

// addCall adds what the API's side knows of one call: that it came and what it got, and, where the answer
// does not tell, that it was executed.
func (tl *timeline) addCall(sc scene, e sandbox.Entry) {
	line, ok := requestLines[e.Call]
	if !ok {
		line = "unexpected call: " + string(e.Call)
	}
	what, m := answerOf(e)
	if m != bad && e.AnsweredAt != nil && e.AnsweredAt.Sub(e.ReceivedAt) >= worthTelling {
		what += " after " + milliseconds(e.AnsweredAt.Sub(e.ReceivedAt))
	}
	tl.add(event{e.ReceivedAt, actorCall, pad(line, requestColumn) + what, m})
	if e.AppliedAt != nil && m == bad {
		tl.add(event{*e.AppliedAt, actorAPI, "has unblocked the " + sc.credential() + " all the same", plain})
	}
}

// answerOf says what the caller got.
func answerOf(e sandbox.Entry) (string, mood) {
	switch {
	case e.Outcome != sandbox.OutcomeAnswered:
		return "no answer, the connection broke", bad
	case e.SaidBlocked != nil && *e.SaidBlocked:
		return strconv.Itoa(e.Status) + " Blocked", plain
	case e.SaidBlocked != nil:
		return strconv.Itoa(e.Status) + " Unblocked", good
	case isSuccess(e.Status):
		return strconv.Itoa(e.Status), good
	default:
		return strconv.Itoa(e.Status) + " " + http.StatusText(e.Status), bad
	}
}

// addChange adds what a change of the operation tells whoever watches it. The end is not one of them:
// it is told to each tap by itself.
func (tl *timeline) addChange(before, now tasks.Operation) {
	seen := time.Now()
	if now.State != before.State && !now.Done {
		tl.add(event{seen, actorBackend, "sees: " + string(now.State), quiet})
	}
	if next := now.NextAttemptAt; next != nil && (before.NextAttemptAt == nil || !next.Equal(*before.NextAttemptAt)) {
		tl.add(event{seen, actorWorker, "goes on in " + milliseconds(next.Sub(now.UpdatedAt)), quiet})
	}
}

// told says what the operation's end is for the backend.
func told(op tasks.Operation) (string, mood) {
	if op.Error != nil {
		return "told: " + string(op.State) + ", " + string(op.Error.Code), bad
	}
	return "told: " + string(op.State) + describe(op.Status), good
}

func describe(st *tasks.Status) string {
	if st == nil {
		return ""
	}
	text := ", " + st.Value
	if st.RemainingTries == nil {
		return text
	}
	if *st.RemainingTries == 1 {
		return text + ", 1 try left"
	}
	return fmt.Sprintf("%s, %d tries left", text, *st.RemainingTries)
}

// milliseconds writes a duration the same way everywhere, so that the eye can compare.
func milliseconds(d time.Duration) string {
	return strconv.FormatFloat(float64(d.Microseconds())/1000, 'f', 1, 64) + " ms"
}
