package worker

import (
	"math/rand/v2"
	"testing"
	"testing/quick"
	"time"

	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/tasks"
)

// someVerdict is a verdict that asks for another attempt, with whatever may be true of one.
type someVerdict struct {
	Type       uint8
	Tries      uint8
	Reads      uint8
	Code       uint8
	Call       bool
	Unknown    bool
	Blocked    bool
	Unburned   bool
	RetryAfter uint32 // milliseconds
	Left       int32  // milliseconds; negative when the time is over
	Random     uint16
}

func (s someVerdict) parts() (tasks.Type, opstore.Record, verdict, time.Duration, float64) {
	t := tasks.Types()[int(s.Type)%len(tasks.Types())]
	rec := opstore.Record{Tries: int(s.Tries), Reads: int(s.Reads) % tasks.MaxConfirmReads, Kind: t.Kind()}
	if s.Call {
		rec.Call = opstore.CallWas
	}
	v := verdict{
		end: again, unknown: s.Unknown && t.Kind().Unblocks() && !t.Confirms(), blocked: s.Blocked && t.Confirms(),
		unburned: s.Unburned, retryAfter: time.Duration(s.RetryAfter%600_000) * time.Millisecond,
		code: tasks.Codes()[int(s.Code)%len(tasks.Codes())], message: "m",
	}
	return t, rec, v, time.Duration(s.Left%600_000) * time.Millisecond, float64(s.Random) / (1 << 16)
}

// holds checks a property of schedule for very many verdicts.
func holds(t *testing.T, property func(t tasks.Type, rec opstore.Record, was, got verdict, left time.Duration) bool) {
	t.Helper()
	check := func(s someVerdict) bool {
		typ, rec, v, left, random := s.parts()
		return property(typ, rec, v, schedule(typ, rec, v, left, random), left)
	}
	if err := quick.Check(check, &quick.Config{MaxCount: 50_000}); err != nil {
		t.Error(err)
	}
}

func TestSchedule_AnAttemptIsNeverDueAfterTheTimeIsOver(t *testing.T) {
	t.Parallel()
	holds(t, func(_ tasks.Type, _ opstore.Record, _, got verdict, left time.Duration) bool {
		return got.end != again || (got.delay >= 0 && got.delay < left)
	})
}

func TestSchedule_NoAttemptComesBeforeTheAPIAllowsIt(t *testing.T) {
	t.Parallel()
	holds(t, func(_ tasks.Type, _ opstore.Record, was, got verdict, _ time.Duration) bool {
		return got.end != again || got.blocked || got.delay >= was.retryAfter
	})
}

func TestSchedule_AnythingEndsOneWayOrTheOther(t *testing.T) {
	t.Parallel()
	holds(t, func(_ tasks.Type, _ opstore.Record, was, got verdict, _ time.Duration) bool {
		switch got.end {
		case again:
			return got.unknown == was.unknown // What may have been applied is not forgotten.
		case fail:
			return got.code.Valid() && got.message != ""
		default:
			return false
		}
	})
}

func TestSchedule_TheCodeOfTheEndIsTrueOfTheCard(t *testing.T) {
	t.Parallel()
	holds(t, func(typ tasks.Type, rec opstore.Record, was, got verdict, _ time.Duration) bool {
		switch {
		case got.end != fail:
			return true
		case typ.Confirms() && (was.blocked || rec.Reads > 0):
			return got.code == tasks.CodeStillBlocked
		case typ.Confirms():
			return got.code == tasks.CodeUnconfirmed
		case was.unknown:
			return got.code == tasks.CodeUnavailable && got.unknown
		default:
			return got.code == was.code
		}
	})
}

func TestBackoff_GrowsUntilItsLongest(t *testing.T) {
	t.Parallel()
	check := func(attempt uint8, random uint16) bool {
		r := float64(random) / (1 << 16)
		d, next := backoff(int(attempt), longestDelay, 0, r), backoff(int(attempt)+1, longestDelay, 0, r)
		return d > 0 && d <= next && next <= longestDelay && d >= time.Duration(float64(firstDelay)*(1-jitterShare))
	}
	if err := quick.Check(check, &quick.Config{MaxCount: 20_000}); err != nil {
		t.Error(err)
	}
}

// Whatever the API answers, an operation's attempts end: by the time, or by the count.
func TestSchedule_EveryOperationRunsOutOfAttempts(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		typ := tasks.Types()[rnd.IntN(len(tasks.Types()))]
		left := time.Duration(rnd.Int64N(int64(tasks.MaxExpiry)))
		rec, attempts := opstore.Record{Kind: typ.Kind()}, 0
		for {
			rec.Tries++
			attempts++
			v := verdict{end: again, code: tasks.CodeUnavailable, message: "m", unburned: rnd.IntN(2) == 0}
			if v = schedule(typ, rec, v, left, rnd.Float64()); v.end == fail {
				break
			}
			if v.unburned {
				rec.Tries--
			}
			left -= v.delay
			// The shortest delay is four fifths of the first, or the last try's margin.
			if most := int(tasks.MaxExpiry/(firstDelay*4/5)) + 1; attempts > most {
				t.Fatalf("seed %d: %s goes on after %d attempts", seed, typ, attempts)
			}
		}
	}
}
