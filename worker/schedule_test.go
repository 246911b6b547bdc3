package worker

import (
	"testing"
	"time"

	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/tasks"
)

func TestSchedule_WhoGetsAnotherAttempt(t *testing.T) {
	t.Parallel()
	const unblock, confirm, refresh = tasks.TypeUnblockPIN, tasks.TypeConfirmPIN, tasks.TypeStatusPIN
	retry := func(c tasks.Code) verdict { return verdict{end: again, code: c, message: "m"} }
	lost := verdict{end: again, code: tasks.CodeUnavailable, message: "m", unknown: true}
	blocked := verdict{end: again, blocked: true}
	late := verdict{end: again, code: tasks.CodeUnavailable, message: "m", tooLate: true, unburned: true}
	asked := retry(tasks.CodeUnavailable)
	asked.retryAfter = time.Minute

	for _, tc := range []struct {
		name  string
		t     tasks.Type
		rec   opstore.Record
		v     verdict
		left  time.Duration
		end   ending
		code  tasks.Code
		delay time.Duration
	}{
		{"the first failure is retried", unblock, opstore.Record{Tries: 1}, retry(tasks.CodeUnavailable), time.Minute, again, tasks.CodeUnavailable, firstDelay},
		{"the last attempt but one is retried", unblock, opstore.Record{Tries: 11}, retry(tasks.CodeUnavailable), time.Minute, again, tasks.CodeUnavailable, longestDelay},
		{"the last attempt is the last", unblock, opstore.Record{Tries: 12}, retry(tasks.CodeUnavailable), time.Minute, fail, tasks.CodeUnavailable, 0},
		{"a refresh has eight", refresh, opstore.Record{Tries: 8}, retry(tasks.CodeBadResponse), time.Minute, fail, tasks.CodeBadResponse, 0},
		{"a confirmation goes on", confirm, opstore.Record{Tries: 100}, retry(tasks.CodeUnavailable), time.Minute, again, tasks.CodeUnavailable, longestReread},
		{"credentials are tried three times", unblock, opstore.Record{Tries: 3}, retry(tasks.CodeUnauthorized), time.Minute, fail, tasks.CodeUnauthorized, 0},
		{"and not twice only", unblock, opstore.Record{Tries: 2}, retry(tasks.CodeUnauthorized), time.Minute, again, tasks.CodeUnauthorized, 2 * firstDelay},
		{"a defect is tried three times", refresh, opstore.Record{Tries: 3}, retry(tasks.CodeInternal), time.Minute, fail, tasks.CodeInternal, 0},
		{"an accepted unblock outlives refused credentials", confirm, opstore.Record{Tries: 3}, retry(tasks.CodeUnauthorized), time.Minute, again, tasks.CodeUnauthorized, 4 * firstDelay},

		{"a lost reply at the end is not a plain failure", unblock, opstore.Record{Tries: 12}, lost, time.Minute, fail, tasks.CodeUnavailable, 0},
		{"time for one last try", unblock, opstore.Record{Tries: 3}, retry(tasks.CodeUnavailable), 900 * time.Millisecond, again, tasks.CodeUnavailable, 650 * time.Millisecond},
		{"no time for one", unblock, opstore.Record{Tries: 3}, retry(tasks.CodeBadResponse), 400 * time.Millisecond, fail, tasks.CodeBadResponse, 0},
		{"asked to wait too long", unblock, opstore.Record{Tries: 1}, asked, 30 * time.Second, fail, tasks.CodeUnavailable, 0},
		{"asked to wait", unblock, opstore.Record{Tries: 1}, asked, 2 * time.Minute, again, tasks.CodeUnavailable, time.Minute},

		{"the first blocked read", confirm, opstore.Record{}, blocked, time.Minute, again, "", rereadDelays[0]},
		{"the fourth blocked read", confirm, opstore.Record{Reads: 3}, blocked, time.Minute, again, "", rereadDelays[3]},
		{"the fifth blocked read", confirm, opstore.Record{Reads: 4}, blocked, time.Minute, fail, tasks.CodeStillBlocked, 0},
		{"blocked and no time", confirm, opstore.Record{}, blocked, 100 * time.Millisecond, fail, tasks.CodeStillBlocked, 0},
		{"unreadable and no time", confirm, opstore.Record{}, retry(tasks.CodeBadResponse), 100 * time.Millisecond, fail, tasks.CodeUnconfirmed, 0},
		{"unreadable after a blocked read, and no time", confirm, opstore.Record{Reads: 1}, retry(tasks.CodeBadResponse), 100 * time.Millisecond, fail, tasks.CodeStillBlocked, 0},

		{"too late for the first call", unblock, opstore.Record{Tries: 1}, late, -1, fail, tasks.CodeExpired, 0},
		{"too late for a repeat", unblock, opstore.Record{Tries: 2, LastCode: tasks.CodeBadResponse}, late, -1, fail, tasks.CodeBadResponse, 0},
		{"too late to confirm", confirm, opstore.Record{Tries: 1}, late, -1, fail, tasks.CodeUnconfirmed, 0},
		{"too late to refresh", refresh, opstore.Record{Tries: 1}, late, -1, fail, tasks.CodeExpired, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			v := schedule(tc.t, tc.rec, tc.v, tc.left, 0)
			if v.end != tc.end || v.code != tc.code || v.delay != tc.delay {
				t.Errorf("end %d, code %q, delay %s; want %d, %q, %s", v.end, v.code, v.delay, tc.end, tc.code, tc.delay)
			}
			if v.end == fail && v.message == "" {
				t.Error("a failure without a message")
			}
		})
	}
}

func TestSchedule_LeavesOtherVerdictsAlone(t *testing.T) {
	t.Parallel()
	for _, v := range []verdict{{end: succeed}, {end: fail, code: tasks.CodeRejected}, {end: chain}, {end: again, interrupted: true}} {
		got := schedule(tasks.TypeUnblockPIN, opstore.Record{Tries: 99}, v, time.Minute, 0)
		if got.end != v.end || got.delay != 0 || got.code != v.code {
			t.Errorf("schedule changed %+v into %+v", v, got)
		}
	}
}

func TestExpired_SaysWhatIsTrueOfTheCard(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		t    tasks.Type
		rec  opstore.Record
		want tasks.Code
	}{
		{"nothing was tried", tasks.TypeUnblockPIN, opstore.Record{}, tasks.CodeExpired},
		{"the API was down", tasks.TypeUnblockPIN, opstore.Record{LastCode: tasks.CodeUnavailable}, tasks.CodeUnavailable},
		{"credentials were refused", tasks.TypeUnblockPIN, opstore.Record{LastCode: tasks.CodeUnauthorized}, tasks.CodeUnauthorized},
		{"a worker died during the call", tasks.TypeUnblockPIN, opstore.Record{Call: opstore.CallOpen}, tasks.CodeUnavailable},
		{"a repeat was open", tasks.TypeUnblockPIN, opstore.Record{Call: opstore.CallWas, LastCode: tasks.CodeBadResponse}, tasks.CodeUnavailable},
		{"accepted and never read", tasks.TypeConfirmPIN, opstore.Record{}, tasks.CodeUnconfirmed},
		{"accepted and read as blocked", tasks.TypeConfirmPIN, opstore.Record{Reads: 2}, tasks.CodeStillBlocked},
		{"a refresh", tasks.TypeStatusCVV, opstore.Record{}, tasks.CodeExpired},
	} {
		if v := expired(tc.t, tc.rec); v.end != fail || v.code != tc.want || v.message == "" {
			t.Errorf("%s: end %d, code %q, message %q; want %d, %q", tc.name, v.end, v.code, v.message, fail, tc.want)
		}
	}
}

func TestGiveUp_AnUnknownOutcomeStaysKnownAsUnknown(t *testing.T) {
	t.Parallel()
	v := giveUp(tasks.TypeUnblockPIN, opstore.Record{}, verdict{end: again, unknown: true, code: tasks.CodeBadResponse}, "")
	if !v.unknown || v.code != tasks.CodeUnavailable {
		t.Errorf("code %q, unknown %t; want unavailable, true", v.code, v.unknown)
	}
}
