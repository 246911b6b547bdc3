package audit

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/internal/sandbox"
	"github.com/cardworker/cardworker/tasks"
)

var start = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

func at(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }

func ptr[T any](v T) *T { return &v }

const (
	opA  = "cw05-01KAJ4S7Q0Z5M2E8H6N3T9RXVA"
	opB  = "cw05-01KAJ4S7Q0Z5M2E8H6N3T9RXVB"
	card = "103169946"
)

func event(ms int, name, detail string) opstore.Event {
	return opstore.Event{At: at(ms), ID: opA, Name: name, Detail: detail}
}

// call is an answered call of the API.
func call(ms int, c sandbox.Call, status int) sandbox.Entry {
	return sandbox.Entry{
		Call: c, PublicToken: card, ReceivedAt: at(ms), EndedAt: ptr(at(ms + 5)), AnsweredAt: ptr(at(ms + 5)),
		Status: status, Outcome: sandbox.OutcomeAnswered,
	}
}

func unblockCall(ms int, status int) sandbox.Entry { return call(ms, sandbox.CallUnblockPIN, status) }

func applied(c sandbox.Entry) sandbox.Entry {
	c.AppliedAt = ptr(c.ReceivedAt.Add(time.Millisecond))
	return c
}

func dropped(c sandbox.Entry) sandbox.Entry {
	c.Outcome, c.Status, c.AnsweredAt = sandbox.OutcomeDropped, 0, nil
	return c
}

func readCall(ms int, blocked bool) sandbox.Entry {
	c := call(ms, sandbox.CallPINStatus, 200)
	c.SaidBlocked = &blocked
	return c
}

// good is a run of one unblock in which nothing is wrong.
func good() Run {
	final := tasks.Operation{
		ID: opA, Kind: tasks.UnblockPIN, State: tasks.Succeeded, Done: true,
		Status:    &tasks.Status{Value: "Unblocked"},
		CreatedAt: at(0), UpdatedAt: at(60), ExpiresAt: at(10_000), UnblockAcceptedAt: ptr(at(20)),
	}
	return Run{
		Requests: []Request{{Kind: tasks.UnblockPIN, Card: card, Key: "k", ID: opA}},
		Finals:   map[string]tasks.Operation{opA: final},
		Calls:    []sandbox.Entry{applied(unblockCall(10, 204)), readCall(40, false)},
		Events: map[string][]opstore.Event{opA: {
			event(0, "accepted", ""), event(5, "begun", "1"), event(20, "unblock_accepted", ""),
			event(35, "begun", "2"), event(60, "succeeded", ""),
		}},
		Bound: time.Second, Slack: time.Millisecond,
	}
}

func edit(r Run, change func(*tasks.Operation)) Run {
	op := r.Finals[opA]
	change(&op)
	r.Finals = map[string]tasks.Operation{opA: op}
	return r
}

func names(vs []Violation) []string {
	var out []string
	for _, v := range vs {
		if !slices.Contains(out, v.Invariant) {
			out = append(out, v.Invariant)
		}
	}
	return out
}

func fails(code tasks.Code) func(*tasks.Operation) {
	return func(op *tasks.Operation) {
		op.State, op.Status, op.UnblockAcceptedAt = tasks.Failed, nil, nil
		op.Error = &tasks.Error{Code: code, Message: "m"}
	}
}

func TestCheck_FindsNothingWhereNothingIsWrong(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]Run{
		"a plain unblock": good(),
		"without the store's events": func() Run {
			r := good()
			r.Events = nil
			return r
		}(),
		"an ambiguous call, a look, and a repeat": func() Run {
			r := good()
			r.Calls = []sandbox.Entry{dropped(unblockCall(10, 0)), readCall(16, true), applied(unblockCall(22, 204)), readCall(40, false)}
			return r
		}(),
		"a refused call and a repeat": func() Run {
			r := good()
			r.Calls = []sandbox.Entry{unblockCall(10, 429), applied(unblockCall(22, 204)), readCall(40, false)}
			return r
		}(),
		"applied without an answer, found by a look": func() Run {
			r := good()
			r.Calls = []sandbox.Entry{applied(dropped(unblockCall(10, 0))), readCall(40, false)}
			r.Events[opA] = []opstore.Event{
				event(0, "accepted", ""), event(5, "begun", "1"), event(16, "retry", "unavailable"), event(35, "begun", "1"), event(60, "succeeded", ""),
			}
			return r
		}(),
		"a conflict on an unblocked card": func() Run {
			r := good()
			r.Calls = []sandbox.Entry{unblockCall(10, 409), readCall(40, false)}
			r.Events = nil
			return r
		}(),
		"two requests with one key, and a refused third": func() Run {
			r := good()
			r.Requests = append(r.Requests, r.Requests[0], Request{Kind: tasks.UnblockCVV, Card: card, Key: "k", Refusal: "idempotency_mismatch"})
			return r
		}(),
		"a read that was under way while it was applied": func() Run {
			r := good()
			r.Calls[1].ReceivedAt, r.Calls[1].ReadAt = at(2), new(at(40))
			return r
		}(),
		"unavailable after it was applied": func() Run {
			r := edit(good(), fails(tasks.CodeUnavailable))
			r.Events = nil
			return r
		}(),
	} {
		for _, v := range r.Check() {
			t.Errorf("%s: %s", name, v)
		}
	}
}

func TestCheck_FindsEachViolation(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		want string
		run  func(r Run) Run
	}{
		{"lost", "I1", func(r Run) Run { r.Finals = nil; r.Calls = nil; return r }},
		{"never ended", "I1", func(r Run) Run {
			return edit(r, func(op *tasks.Operation) { op.State, op.Done = tasks.Confirming, false })
		}},
		{"ended too late", "I1", func(r Run) Run {
			return edit(r, func(op *tasks.Operation) { op.UpdatedAt = at(11_001) })
		}},
		{"ended twice", "I1", func(r Run) Run {
			r.Events[opA] = append(r.Events[opA], event(70, "succeeded", ""))
			return r
		}},
		{"nothing was applied", "I2", func(r Run) Run {
			r.Calls[0].AppliedAt = nil
			return r
		}},
		{"nothing was sent", "I2", func(r Run) Run { r.Calls = r.Calls[1:]; return r }},
		{"nothing was read", "I2", func(r Run) Run { r.Calls = r.Calls[:1]; return r }},
		{"it was read before it was applied", "I2", func(r Run) Run {
			r.Calls[1].ReceivedAt = at(2)
			return r
		}},
		{"the API looked before it was applied", "I2", func(r Run) Run {
			r.Calls[1].ReadAt = new(at(2))
			return r
		}},
		{"the read said blocked", "I2", func(r Run) Run { r.Calls[1] = readCall(40, true); return r }},
		{"the result says blocked", "I2", func(r Run) Run {
			return edit(r, func(op *tasks.Operation) { op.Status = &tasks.Status{Value: "Blocked", Blocked: true} })
		}},
		{"without a status", "I2", func(r Run) Run { return edit(r, func(op *tasks.Operation) { op.Status = nil }) }},
		{"failed although it was applied", "I3", func(r Run) Run { return edit(r, fails(tasks.CodeExpired)) }},
		{"failed without a code", "I3", func(r Run) Run { return edit(r, fails("")) }},
		{"sent twice without a look", "I4", func(r Run) Run {
			r.Calls = []sandbox.Entry{dropped(unblockCall(8, 0)), applied(unblockCall(14, 204)), readCall(40, false)}
			return r
		}},
		{"sent again after a look that failed", "I4", func(r Run) Run {
			look := readCall(9, true)
			look.SaidBlocked, look.Status = nil, 500
			r.Calls = []sandbox.Entry{unblockCall(2, 500), look, applied(unblockCall(16, 204)), readCall(40, false)}
			return r
		}},
		{"accepted and sent again", "I4", func(r Run) Run {
			r.Calls = []sandbox.Entry{applied(unblockCall(2, 204)), applied(unblockCall(12, 204)), readCall(40, false)}
			return r
		}},
		{"sent again after it had ended", "I4", func(r Run) Run {
			r.Calls = append(r.Calls, applied(unblockCall(500, 204)))
			return r
		}},
		{"two at a time", "I4", func(r Run) Run {
			r.Calls = []sandbox.Entry{unblockCall(10, 429), applied(unblockCall(12, 204)), readCall(40, false)}
			return r
		}},
		{"a call for nobody", "I4", func(r Run) Run {
			c := unblockCall(10, 204)
			c.PublicToken = "999"
			r.Calls = append(r.Calls, c)
			return r
		}},
		{"a reader saw it go on", "I5", func(r Run) Run {
			done := r.Finals[opA]
			going := done
			going.State, going.Done = tasks.Confirming, false
			r.Seen = map[string][]tasks.Operation{opA: {done, going}}
			return r
		}},
		{"two ends", "I5", func(r Run) Run {
			other := r.Finals[opA]
			other.State, other.Error = tasks.Failed, &tasks.Error{Code: tasks.CodeUnavailable}
			r.Seen = map[string][]tasks.Operation{opA: {other}}
			return r
		}},
		{"never confirmed", "I6", func(r Run) Run {
			r.Events[opA] = slices.Delete(r.Events[opA], 3, 4)
			return r
		}},
		{"a zombie began again", "I6", func(r Run) Run {
			r.Events[opA][1].Detail = "3"
			return r
		}},
		{"accepted and forgotten", "I6", func(r Run) Run {
			return edit(r, func(op *tasks.Operation) { op.UnblockAcceptedAt = nil })
		}},
		{"one key, two operations", "I7", func(r Run) Run {
			other := r.Finals[opA]
			other.ID = opB
			r.Finals[opB] = other
			r.Requests = append(r.Requests, Request{Kind: tasks.UnblockPIN, Card: card, Key: "k", ID: opB})
			return r
		}},
		{"one key, another card", "I7", func(r Run) Run {
			r.Requests = append(r.Requests, Request{Kind: tasks.UnblockPIN, Card: "200000001", Key: "k", ID: opA})
			return r
		}},
		{"an unblock after the expiry", "I8", func(r Run) Run {
			return edit(r, func(op *tasks.Operation) { op.ExpiresAt = at(8) })
		}},
		{"a read after the expiry", "I8", func(r Run) Run {
			return edit(r, func(op *tasks.Operation) { op.ExpiresAt = at(30) })
		}},
		{"a call before it was accepted", "I8", func(r Run) Run {
			r.Calls = append([]sandbox.Entry{readCall(-500, true)}, r.Calls...)
			return r
		}},
		{"ended without having begun", "I12", func(r Run) Run {
			r.Events[opA] = []opstore.Event{event(0, "accepted", ""), event(60, "succeeded", "")}
			return r
		}},
		{"a superseded run wrote its success", "I12", func(r Run) Run {
			r.Events[opA] = slices.Insert(r.Events[opA], 4, event(50, "redispatched", ""))
			return r
		}},
		{"an event nobody knows", "I12", func(r Run) Run {
			r.Events[opA] = slices.Insert(r.Events[opA], 1, event(1, "teleported", ""))
			return r
		}},
		{"went on after its end", "I12", func(r Run) Run {
			r.Events[opA] = append(r.Events[opA], event(70, "begun", "3"))
			return r
		}},
		{"succeeded after it expired", "I12", func(r Run) Run {
			r.Events[opA] = slices.Insert(r.Events[opA], 4, event(50, "expired", "2"))
			return r
		}},
		{"events and record disagree", "I12", func(r Run) Run {
			r.Events[opA][4].Name = "failed"
			return r
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			vs := tc.run(good()).Check()
			if !slices.Contains(names(vs), tc.want) {
				t.Errorf("found %v, want %s", vs, tc.want)
			}
		})
	}
}

func TestViolation_TellsTheHistoryAndNoPublicToken(t *testing.T) {
	t.Parallel()
	r := good()
	r.Calls = append(r.Calls, applied(unblockCall(500, 204)))
	vs := r.Check()
	if len(vs) != 1 {
		t.Fatalf("found %v, want one violation", vs)
	}
	text := vs[0].String()
	for _, want := range []string{"I4", opA, "unblock_accepted", "unblock_pin answered 204, applied", "10:00:00.500"} {
		if !strings.Contains(text, want) {
			t.Errorf("the violation does not tell %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, card) {
		t.Errorf("the violation tells the public token:\n%s", text)
	}
}
