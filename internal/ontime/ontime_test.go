package ontime

import (
	"errors"
	"testing"
	"time"
)

// recorder is a test that may fail.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Failed() bool          { return r.failed }
func (r *recorder) Errorf(string, ...any) { r.failed = true }
func (r *recorder) Logf(string, ...any)   {}

func TestOnce_OneRoundOnTimeIsEnough(t *testing.T) {
	t.Parallel()
	for _, late := range []int{0, 1, rounds - 1} {
		r, n := &recorder{TB: t}, 0
		Once(r, func(round int) error {
			if n++; n != round {
				t.Errorf("round %d is called %d", n, round)
			}
			if n <= late {
				return errors.New("late")
			}
			return nil
		})
		if r.failed || n != late+1 {
			t.Errorf("after %d late rounds: failed %t in %d rounds, want it passed with one more", late, r.failed, n)
		}
	}
}

func TestOnce_FailsWhatIsAlwaysLate(t *testing.T) {
	t.Parallel()
	r, n := &recorder{TB: t}, 0
	Once(r, func(int) error { n++; return errors.New("late") })
	if !r.failed || n != rounds {
		t.Errorf("failed %t after %d rounds, want it failed after %d", r.failed, n, rounds)
	}
}

func TestDuring_MeasuresWhileItRuns(t *testing.T) {
	t.Parallel()
	ran := false
	if late := During(func() { ran = true; calm() }); !ran || late <= 0 || late > time.Minute {
		t.Errorf("ran %t, the machine was late by %s, want it run and a little", ran, late)
	}
}

func TestOnce_DoesNotRepeatWhatIsWrong(t *testing.T) {
	t.Parallel()
	r, n := &recorder{TB: t}, 0
	Once(r, func(int) error {
		n++
		r.Errorf("a wrong answer")
		return errors.New("late")
	})
	if n != 1 {
		t.Errorf("%d rounds of what is wrong, want 1", n)
	}
}
