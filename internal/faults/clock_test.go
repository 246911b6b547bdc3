package faults

import (
	"testing"
	"time"
)

func TestMachineTime_UndoesWhatTheClockOfRedisWasSetTo(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	at := func(d time.Duration) time.Time { return begin.Add(d) }
	for _, tc := range []struct {
		name  string
		clock []setting
		x     time.Duration // what Redis showed
		want  time.Duration
	}{
		{"the machine's", []setting{{begin, 0}}, time.Second, time.Second},
		{"ahead", []setting{{begin, time.Minute}}, time.Minute + time.Second, time.Second},
		{"behind", []setting{{begin, -time.Minute}}, time.Second - time.Minute, time.Second},
		{"before a jump ahead", []setting{{begin, 0}, {at(4 * time.Second), 5 * time.Minute}}, 3 * time.Second, 3 * time.Second},
		{"after a jump ahead", []setting{{begin, 0}, {at(4 * time.Second), 5 * time.Minute}}, 5*time.Minute + 6*time.Second, 6 * time.Second},
		{"jumped over", []setting{{begin, 0}, {at(4 * time.Second), 5 * time.Minute}}, time.Minute, 4 * time.Second},
		{"before a jump back", []setting{{begin, 0}, {at(4 * time.Second), -5 * time.Minute}}, 3 * time.Second, 3 * time.Second},
		{"after a jump back", []setting{{begin, 0}, {at(4 * time.Second), -5 * time.Minute}}, 6*time.Second - 5*time.Minute, 6 * time.Second},
		{"an end put off by a jump back", []setting{{begin, 0}, {at(4 * time.Second), -5 * time.Minute}}, time.Minute, 6 * time.Minute},
	} {
		if got := machineTime(tc.clock, at(tc.x)); !got.Equal(at(tc.want)) {
			t.Errorf("%s: machineTime = %s, want %s", tc.name, got.Sub(begin), tc.want)
		}
	}
}
