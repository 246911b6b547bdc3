package demo

import (
	"net/http"
	"time"

	"github.com/cardworker/cardworker/internal/sandbox"
	"github.com/cardworker/cardworker/tasks"
)

// scene is one thing that happens to a card, and what has to come of it.
type scene struct {
	// title is what a person would say; note is one more sentence for what one could miss, or "".
	title, note string
	kind        tasks.Kind
	// card is a public token whose range the sandbox knows. It is none of the examples of the magic cards,
	// so that those are as new for whoever tries them after the story.
	card string
	// taps is how often the operation is asked for: each tap after the first comes when the API has been
	// asked for the card.
	taps int
	// fault happens to the card's calls; nil means none beyond what its range does.
	fault *sandbox.Fault
	// code is how the operation has to fail; "" means that it has to succeed.
	code tasks.Code
	// facts have to hold of what the API saw. They also are the verdict that is shown.
	facts []fact
}

// slowness is how long the API takes when it is slow: long enough for a second tap on a busy machine.
const slowness = 400 * time.Millisecond

// story returns the scenes in the order they are played.
func story() []scene {
	return []scene{
		{
			title: "A cardholder taps “Unblock PIN”",
			kind:  tasks.UnblockPIN, card: "112358132", taps: 1,
			facts: []fact{unblocksSent(1), readsAfter(1)},
		},
		{
			title: "A cardholder taps “Unblock CVV”",
			kind:  tasks.UnblockCVV, card: "127182818", taps: 1,
			facts: []fact{unblocksSent(1), readsAfter(1)},
		},
		{
			title: "An agent asks: is this CVV blocked?",
			note:  "Reading a status is a success whatever it says. It changes nothing.",
			kind:  tasks.RefreshCVVStatus, card: "131415926", taps: 1,
			facts: []fact{reads(1), unblocksSent(0)},
		},
		{
			title: "The API fails twice and recovers",
			note:  "A 503 may come after the fact, so the status is read before a repeat.",
			kind:  tasks.UnblockPIN, card: "141421356", taps: 1,
			fault: &sandbox.Fault{
				Name: "outage", Call: sandbox.CallUnblockPIN, Count: 2,
				Do: sandbox.DoStatus, Status: http.StatusServiceUnavailable,
			},
			facts: []fact{unblocksFailed(2), unblocksApplied(1), blindRepeats(0), readsAfter(1)},
		},
		{
			title: "An unblock works, its reply is lost",
			note:  "Sending it again could reset the try counter twice. The worker looks first.",
			kind:  tasks.UnblockPIN, card: "700161803", taps: 1,
			facts: []fact{unblocksSent(1), unblocksApplied(1), repliesLost(1), readsAfter(1)},
		},
		{
			title: "A tap for a card that does not exist",
			note:  "The API is sure about that, so it is not asked again.",
			kind:  tasks.UnblockPIN, card: "404173205", taps: 1,
			code:  tasks.CodeCardNotFound,
			facts: []fact{unblocksSent(1), reads(0)},
		},
		{
			title: "An impatient cardholder taps twice",
			note:  "The API is slow. The second tap joins the first and gets the same answer.",
			kind:  tasks.UnblockPIN, card: "157721566", taps: 2,
			fault: &sandbox.Fault{
				Name: "slow", Call: sandbox.CallUnblockPIN, Count: 1,
				Do: sandbox.DoPass, Delay: slowness,
			},
			facts: []fact{requests(2), operations(1), unblocksSent(1), readsAfter(1)},
		},
	}
}

// credential returns what the scene is about as a person writes it.
func (sc scene) credential() string {
	if sc.kind.Credential() == tasks.CVV {
		return "CVV"
	}
	return "PIN"
}

// masked returns the card's public token as it may be shown.
func (sc scene) masked() string {
	t, err := tasks.ParsePublicToken(sc.card)
	if err != nil {
		return "******"
	}
	return t.Masked()
}

// request says what the backend asks for.
func (sc scene) request() string {
	if sc.kind.Unblocks() {
		return "asks for the " + sc.credential() + " to be unblocked"
	}
	return "asks for the status of the " + sc.credential()
}
