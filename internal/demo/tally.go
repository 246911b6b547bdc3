package demo

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/cardworker/cardworker/internal/sandbox"
)

// tally is what is known of a scene when it is over, counted from the sandbox's ledger and from what the
// backend was told.
type tally struct {
	requests   int // of the backend
	operations int // with different ids that these led to

	sent    int // unblocks that reached the API
	applied int // of these, those that the API executed
	failed  int // of these, those that were answered with an error
	lost    int // of these, those that got no answer
	blind   int // of these, those that followed another without a read in between that said blocked

	reads int // of the status
	after int // of these, those that told a status after the last unblock was executed

	others int // calls that have no business here
}

// count counts what the ledger says about one card. The entries are in the order of arrival, and have
// ended.
func count(entries []sandbox.Entry) tally {
	var t tally
	var applied time.Time
	var sent, told []sandbox.Entry
	for _, e := range entries {
		switch e.Call {
		case sandbox.CallUnblockPIN, sandbox.CallUnblockCVV:
			t.unblock(e)
			if len(sent) > 0 && !readBetween(sent[len(sent)-1], e, told) {
				t.blind++
			}
			sent = append(sent, e)
			if e.AppliedAt != nil {
				applied = *e.AppliedAt
			}
		case sandbox.CallPINStatus, sandbox.CallCVVStatus:
			t.reads++
			if e.SaidBlocked != nil {
				told = append(told, e)
			}
		default:
			t.others++
		}
	}
	for _, e := range told {
		if !applied.IsZero() && e.ReceivedAt.After(applied) {
			t.after++
		}
	}
	return t
}

func (t *tally) unblock(e sandbox.Entry) {
	t.sent++
	if e.AppliedAt != nil {
		t.applied++
	}
	switch {
	case e.Outcome != sandbox.OutcomeAnswered:
		t.lost++
	case !isSuccess(e.Status):
		t.failed++
	}
}

// readBetween reports whether one of the reads began after the first unblock had ended, and had said
// blocked before the second came.
func readBetween(first, second sandbox.Entry, reads []sandbox.Entry) bool {
	if first.EndedAt == nil {
		return false
	}
	for _, r := range reads {
		if *r.SaidBlocked && r.ReceivedAt.After(*first.EndedAt) && r.AnsweredAt.Before(second.ReceivedAt) {
			return true
		}
	}
	return false
}

func isSuccess(status int) bool {
	return status >= http.StatusOK && status < http.StatusMultipleChoices
}

// fact is a number that a tally has to show.
type fact struct {
	one, many string // the noun for 1 and for any other number
	got       func(tally) int
	want      int
}

func requests(n int) fact {
	return fact{"tap", "taps", func(t tally) int { return t.requests }, n}
}

func operations(n int) fact {
	return fact{"operation", "operations", func(t tally) int { return t.operations }, n}
}

func unblocksSent(n int) fact {
	return fact{"unblock sent", "unblocks sent", func(t tally) int { return t.sent }, n}
}

func unblocksApplied(n int) fact {
	return fact{"applied", "applied", func(t tally) int { return t.applied }, n}
}

func unblocksFailed(n int) fact {
	return fact{"unblock failed", "unblocks failed", func(t tally) int { return t.failed }, n}
}

func repliesLost(n int) fact {
	return fact{"reply lost", "replies lost", func(t tally) int { return t.lost }, n}
}

func blindRepeats(n int) fact {
	return fact{"blind repeat", "blind repeats", func(t tally) int { return t.blind }, n}
}

func reads(n int) fact {
	return fact{"status read", "status reads", func(t tally) int { return t.reads }, n}
}

func readsAfter(n int) fact {
	return fact{"status read after it", "status reads after it", func(t tally) int { return t.after }, n}
}

// say is the fact as it was found.
func (f fact) say(t tally) string {
	switch n := f.got(t); n {
	case 0:
		return "no " + f.one
	case 1:
		return "1 " + f.one
	default:
		return strconv.Itoa(n) + " " + f.many
	}
}

// problem says what is wrong, or "" when the fact is as it has to be.
func (f fact) problem(t tally) string {
	if f.got(t) == f.want {
		return ""
	}
	noun := f.many
	if f.got(t) == 1 {
		noun = f.one
	}
	return fmt.Sprintf("%d %s instead of %d", f.got(t), noun, f.want)
}
