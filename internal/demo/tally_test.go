package demo

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cardworker/cardworker/internal/sandbox"
)

// moment returns a time that is n milliseconds after a fixed one.
func moment(n int) time.Time { return time.UnixMilli(1_800_000_000_000 + int64(n)) }

// call returns the entry of a call that came at begin and was answered a millisecond later.
func call(c sandbox.Call, begin, status int) sandbox.Entry {
	end := moment(begin + 1)
	return sandbox.Entry{
		Call: c, ReceivedAt: moment(begin), EndedAt: &end, AnsweredAt: &end, Status: status, Outcome: sandbox.OutcomeAnswered,
	}
}

func applied(e sandbox.Entry) sandbox.Entry {
	e.AppliedAt = new(e.ReceivedAt)
	return e
}

func dropped(e sandbox.Entry) sandbox.Entry {
	e.Outcome, e.AnsweredAt, e.Status = sandbox.OutcomeDropped, nil, 0
	return e
}

func said(e sandbox.Entry, blocked bool) sandbox.Entry {
	e.SaidBlocked = &blocked
	return e
}

func TestCount(t *testing.T) {
	t.Parallel()
	unblock := func(begin, status int) sandbox.Entry { return call(sandbox.CallUnblockPIN, begin, status) }
	read := func(begin int, blocked bool) sandbox.Entry {
		return said(call(sandbox.CallPINStatus, begin, 200), blocked)
	}
	for _, tc := range []struct {
		name    string
		entries []sandbox.Entry
		want    tally
	}{
		{"Nothing", nil, tally{}},
		{
			"ReadAfterTheUnblock",
			[]sandbox.Entry{applied(unblock(0, 204)), read(10, false)},
			tally{sent: 1, applied: 1, reads: 1, after: 1},
		},
		{
			"ReadBeforeTheUnblockIsNotAfterIt",
			[]sandbox.Entry{read(0, true), applied(unblock(10, 204))},
			tally{sent: 1, applied: 1, reads: 1},
		},
		{
			"ReadThatToldNothingIsNotAfterIt",
			[]sandbox.Entry{applied(unblock(0, 204)), call(sandbox.CallPINStatus, 10, 500)},
			tally{sent: 1, applied: 1, reads: 1},
		},
		{
			"LostReply",
			[]sandbox.Entry{dropped(applied(unblock(0, 0)))},
			tally{sent: 1, applied: 1, lost: 1},
		},
		{
			"RepeatWithoutARead",
			[]sandbox.Entry{unblock(0, 503), applied(unblock(10, 204))},
			tally{sent: 2, applied: 1, failed: 1, blind: 1},
		},
		{
			"RepeatAfterAReadThatSaidBlocked",
			[]sandbox.Entry{unblock(0, 503), read(10, true), applied(unblock(20, 204))},
			tally{sent: 2, applied: 1, failed: 1, reads: 1},
		},
		{
			"RepeatAlthoughTheReadSaidUnblocked",
			[]sandbox.Entry{dropped(applied(unblock(0, 0))), read(10, false), applied(unblock(20, 204))},
			tally{sent: 2, applied: 2, lost: 1, blind: 1, reads: 1},
		},
		{
			"ReadOfAnEarlierRepeatDoesNotCount",
			[]sandbox.Entry{unblock(0, 503), read(10, true), unblock(20, 503), unblock(30, 503)},
			tally{sent: 3, failed: 3, blind: 1, reads: 1},
		},
		{"CallThatNobodyAskedFor", []sandbox.Entry{call(sandbox.CallPIN, 0, 200)}, tally{others: 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, count(tc.entries), cmp.AllowUnexported(tally{})); diff != "" {
				t.Errorf("count (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFact(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		sent         int
		say, problem string
	}{
		{0, "no unblock sent", "0 unblocks sent instead of 1"},
		{1, "1 unblock sent", ""},
		{2, "2 unblocks sent", "2 unblocks sent instead of 1"},
	} {
		f, got := unblocksSent(1), tally{sent: tc.sent}
		if f.say(got) != tc.say || f.problem(got) != tc.problem {
			t.Errorf("of %d: say = %q, problem = %q, want %q, %q", tc.sent, f.say(got), f.problem(got), tc.say, tc.problem)
		}
	}
}
