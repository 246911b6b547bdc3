package worker

import (
	"testing"
	"time"
)

func TestBackoff_IsATableThatCanBeRead(t *testing.T) {
	t.Parallel()
	const ms, s = time.Millisecond, time.Second
	for _, tc := range []struct {
		step    string
		longest time.Duration
		want    []time.Duration
	}{
		{"unblock, refresh", longestDelay, []time.Duration{250 * ms, 500 * ms, s, 2 * s, 4 * s, 8 * s, 16 * s, 30 * s, 30 * s}},
		{"confirm", longestReread, []time.Duration{250 * ms, 500 * ms, s, 2 * s, 4 * s, 5 * s, 5 * s}},
	} {
		for i, want := range tc.want {
			if got := backoff(i+1, tc.longest, 0, 0); got != want {
				t.Errorf("%s: Delay(%d) = %s, want %s", tc.step, i+1, got, want)
			}
		}
	}
}

func TestBackoff_StaysInItsBoundsForAnyAttempt(t *testing.T) {
	t.Parallel()
	for _, attempt := range []int{-1, 0, 1, 15, 16, 17, 62, 63, 64, 65, 20_000} {
		for _, random := range []float64{0, 0.5, 0.999999} {
			d := backoff(attempt, longestDelay, 0, random)
			if lowest := time.Duration(float64(firstDelay) * (1 - jitterShare)); d < lowest || d > longestDelay {
				t.Errorf("Delay(%d) with random %g = %s, want %s to %s", attempt, random, d, lowest, longestDelay)
			}
		}
	}
}

func TestBackoff_JitterTakesUpToAFifthOff(t *testing.T) {
	t.Parallel()
	if got, want := backoff(3, longestDelay, 0, 0.5), 900*time.Millisecond; got != want {
		t.Errorf("Delay(3) with random 0.5 = %s, want %s", got, want)
	}
}

func TestBackoff_WhatTheAPIAsksForIsWaitedForInFull(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ retryAfter, want time.Duration }{
		{7 * time.Second, 7 * time.Second},
		{time.Hour, time.Hour},
		{100 * time.Millisecond, 200 * time.Millisecond}, // The own delay is longer.
		{-time.Second, 200 * time.Millisecond},
	} {
		if got := backoff(1, longestDelay, tc.retryAfter, 1); got != tc.want {
			t.Errorf("Delay(1) after Retry-After %s = %s, want %s", tc.retryAfter, got, tc.want)
		}
	}
}

func TestFit_UsesTheLastOfTheTimeAndNoMore(t *testing.T) {
	t.Parallel()
	const ms, s = time.Millisecond, time.Second
	for _, tc := range []struct {
		delay, retryAfter, left time.Duration
		want                    time.Duration
		ok                      bool
	}{
		{delay: s, left: 10 * s, want: s, ok: true},
		{delay: 4 * s, left: 3 * s, want: 2750 * ms, ok: true},                // Cut short for one last try.
		{delay: 3 * s, left: 3 * s, want: 2750 * ms, ok: true},                // The end itself is too late.
		{delay: 4 * s, retryAfter: 4 * s, left: 3 * s},                        // The API asked for it: refused.
		{delay: 4 * s, retryAfter: s, left: 3 * s, want: 2750 * ms, ok: true}, // The cut still respects it.
		{delay: s, left: 499 * ms},                                            // No time for a last try.
		{delay: s, left: 500 * ms, want: 250 * ms, ok: true},
		{delay: s, left: 0},
		{delay: s, left: -s},
	} {
		got, ok := fit(tc.delay, tc.retryAfter, tc.left)
		if got != tc.want || ok != tc.ok {
			t.Errorf("fit(%s, retryAfter %s, left %s) = %s, %t; want %s, %t", tc.delay, tc.retryAfter, tc.left, got, ok, tc.want, tc.ok)
		}
		if ok && got >= tc.left {
			t.Errorf("fit(%s, %s, %s) = %s is not before the end", tc.delay, tc.retryAfter, tc.left, got)
		}
	}
}

func TestReread_FiveReadsInAll(t *testing.T) {
	t.Parallel()
	want := []time.Duration{200 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second}
	for i, d := range want {
		if got, ok := reread(i + 1); got != d || !ok {
			t.Errorf("reread(%d) = %s, %t; want %s, true", i+1, got, ok, d)
		}
	}
	for _, n := range []int{-1, 0, 5, 6} {
		if _, ok := reread(n); ok {
			t.Errorf("reread(%d) asks for another read, want none", n)
		}
	}
}
