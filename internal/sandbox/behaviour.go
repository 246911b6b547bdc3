package sandbox

import (
	"fmt"
	"net/http"
	"time"
)

// Behaviour is what a card makes the API do. Blocked and unblocked cards work
// without a fault and differ only in the state they start in; so do all others
// start blocked, unless their comment says otherwise.
type Behaviour string

// The behaviours. "First" and "twice" count per card and per kind of call.
const (
	BehaviourBlocked      Behaviour = "blocked"           // an unblock works
	BehaviourUnblocked    Behaviour = "unblocked"         // starts with all tries left
	BehaviourUnknown      Behaviour = "unknown"           // every call: 404
	BehaviourUnauthorized Behaviour = "unauthorized_once" // the first call: 401
	BehaviourNotAllowed   Behaviour = "not_allowed"       // unblock and PIN read: 403
	BehaviourConflict     Behaviour = "conflict"          // unblock: 409, stays blocked
	BehaviourThrottled    Behaviour = "throttled_once"    // the first call: 429, Retry-After: 1
	BehaviourFailing      Behaviour = "failing"           // every call: 500
	BehaviourFailsTwice   Behaviour = "fails_twice"       // the first two calls: 503
	BehaviourSlow         Behaviour = "slow"              // every call takes 3 s more
	BehaviourLagging      Behaviour = "lagging"           // two reads after the unblock still say Blocked
	BehaviourStuck        Behaviour = "stuck"             // every read says Blocked for ever
	BehaviourLostReply    Behaviour = "lost_reply"        // first unblock: executed, then the connection is reset
	BehaviourLostRequest  Behaviour = "lost_request"      // first unblock: the connection is reset, nothing executed
	BehaviourBadGateway   Behaviour = "bad_gateway_after" // first unblock: executed, then answered 502
	BehaviourSilent       Behaviour = "silent_after"      // first unblock: executed, never answered
	BehaviourUnreadable   Behaviour = "unreadable"        // status reads: 200 with an HTML page
	BehaviourTriesNumber  Behaviour = "tries_number"      // remainingTries is a JSON number
	BehaviourTriesAbsent  Behaviour = "tries_absent"      // no remainingTries
	BehaviourOfflineTries Behaviour = "offline_tries"     // remainingOfflineTries too; an unblock leaves it alone
	BehaviourStatusCode   Behaviour = "status_code"       // statusCode and description too
)

// traits is what a behaviour is made of.
type traits struct {
	unblocked    bool // starts unblocked
	unknown      bool
	lagReads     int // reads that still say Blocked after an unblock; -1 = all
	triesNumber  bool
	triesAbsent  bool
	offlineTries bool
	statusCode   bool
	// fault is what the nth call (from 1) of a kind meets; nil or a nil
	// answer: nothing.
	fault func(call Call, nth uint64) *Fault
}

var behaviours = map[Behaviour]traits{
	BehaviourBlocked:      {},
	BehaviourUnblocked:    {unblocked: true},
	BehaviourUnknown:      {unknown: true},
	BehaviourUnauthorized: {fault: first(1, Fault{Do: DoStatus, Status: http.StatusUnauthorized})},
	BehaviourNotAllowed: {fault: func(call Call, _ uint64) *Fault {
		if call.isStatus() {
			return nil
		}
		return &Fault{Do: DoStatus, Status: http.StatusForbidden}
	}},
	BehaviourConflict: {fault: onUnblock(0, Fault{Do: DoStatus, Status: http.StatusConflict})},
	BehaviourThrottled: {fault: first(1, Fault{
		Do: DoStatus, Status: http.StatusTooManyRequests, Headers: map[string]string{"Retry-After": "1"},
	})},
	BehaviourFailing:     {fault: first(0, Fault{Do: DoStatus, Status: http.StatusInternalServerError})},
	BehaviourFailsTwice:  {fault: first(2, Fault{Do: DoStatus, Status: http.StatusServiceUnavailable})},
	BehaviourSlow:        {fault: first(0, Fault{Do: DoPass, Delay: 3 * time.Second})},
	BehaviourLagging:     {lagReads: 2},
	BehaviourStuck:       {lagReads: -1},
	BehaviourLostReply:   {fault: onUnblock(1, Fault{At: After, Do: DoReset})},
	BehaviourLostRequest: {fault: onUnblock(1, Fault{At: Before, Do: DoReset})},
	BehaviourBadGateway:  {fault: onUnblock(1, Fault{At: After, Do: DoStatus, Status: http.StatusBadGateway, Body: BodyHTML})},
	BehaviourSilent:      {fault: onUnblock(1, Fault{At: After, Do: DoHang})},
	BehaviourUnreadable: {fault: func(call Call, _ uint64) *Fault {
		if !call.isStatus() {
			return nil
		}
		return &Fault{At: After, Do: DoStatus, Status: http.StatusOK, Body: BodyHTML}
	}},
	BehaviourTriesNumber:  {triesNumber: true},
	BehaviourTriesAbsent:  {triesAbsent: true},
	BehaviourOfflineTries: {offlineTries: true},
	BehaviourStatusCode:   {statusCode: true},
}

// first is a fault of the first n calls of each kind; 0 means of all of them.
func first(n uint64, f Fault) func(Call, uint64) *Fault {
	return func(_ Call, nth uint64) *Fault {
		if n != 0 && nth > n {
			return nil
		}
		return &f
	}
}

// onUnblock is first, for unblocks alone.
func onUnblock(n uint64, f Fault) func(Call, uint64) *Fault {
	hit := first(n, f)
	return func(call Call, nth uint64) *Fault {
		if !call.isUnblock() {
			return nil
		}
		return hit(call, nth)
	}
}

// check refuses a behaviour that does not exist.
func (b Behaviour) check() error {
	if _, ok := behaviours[b]; !ok {
		return fmt.Errorf("behaviour %q is unknown: GET %smagic-cards lists them", b, controlPath)
	}
	return nil
}

// fault is the built-in fault that the nth call of a kind meets, or nil. Its
// name in the ledger is the behaviour's.
func (b Behaviour) fault(call Call, nth uint64) *Fault {
	pick := behaviours[b].fault
	if pick == nil {
		return nil
	}
	f := pick(call, nth)
	if f == nil {
		return nil
	}
	named := *f
	named.Name = "card:" + string(b)
	return &named
}
