package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/hibiken/asynq"

	"github.com/cardworker/cardworker/tasks"
)

func TestForAsynq_ASuccessIsNil(t *testing.T) {
	t.Parallel()
	if err := forAsynq(nil); err != nil {
		t.Errorf("forAsynq(nil) = %v, want nil", err)
	}
}

func TestForAsynq_ArchivesAndKeepsTheCause(t *testing.T) {
	t.Parallel()
	err := forAsynq(fmt.Errorf("while decoding: %w", &quarantine{reason: tasks.ErrMalformed}))
	if !errors.Is(err, asynq.SkipRetry) {
		t.Errorf("%v is no SkipRetry", err)
	}
	if !errors.Is(err, tasks.ErrMalformed) {
		t.Errorf("%v has lost its cause", err)
	}
	if !strings.Contains(err.Error(), tasks.ErrMalformed.Error()) {
		t.Errorf("text %q does not say the reason", err)
	}
}

func TestForAsynq_ARetryIsNotArchivedAndKeepsItsDelay(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	err := forAsynq(&retryLater{delay: 7 * time.Second, cause: cause})
	if errors.Is(err, asynq.SkipRetry) || errors.Is(err, asynq.RevokeTask) {
		t.Errorf("%v ends the task", err)
	}
	if !errors.Is(err, cause) {
		t.Errorf("%v has lost its cause", err)
	}
	if got, want := delayForAsynq(0, err, nil), 7*time.Second+asynqLateness; got != want {
		t.Errorf("delayForAsynq = %s, want %s", got, want)
	}
}

func TestForAsynq_WhatMustNotBeKeptIsDeleted(t *testing.T) {
	t.Parallel()
	err := forAsynq(&quarantine{reason: tasks.ErrMalformed, drop: true})
	if !errors.Is(err, asynq.RevokeTask) || errors.Is(err, asynq.SkipRetry) {
		t.Errorf("forAsynq = %v, want it revoked and not archived", err)
	}
}

func TestForAsynq_TextsAreValidAndBounded(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"\xff\xfe half a rune \xe2\x82",
		strings.Repeat("ä", 400),
		"x" + strings.Repeat("€", 400),
		strings.Repeat("\xff", 2000),
	} {
		for _, err := range []error{&retryLater{delay: 0, cause: errors.New(text)}, &quarantine{reason: errors.New(text)}} {
			got := forAsynq(err).Error()
			if !utf8.ValidString(got) {
				t.Errorf("forAsynq(%.20q) = %q is not UTF-8", text, got)
			}
			if most := maxErrorText + 60; len(got) > most {
				t.Errorf("forAsynq(%.20q) has %d bytes, want at most %d", text, len(got), most)
			}
		}
	}
}

func TestDelayForAsynq_IsNeverEarlyAndHasADefault(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		err  error
		want time.Duration
	}{
		{&retryLater{delay: 0}, asynqLateness},
		{&retryLater{delay: time.Minute}, time.Minute + asynqLateness},
		{errors.New("asynq's own"), time.Second},
		{context.DeadlineExceeded, time.Second},
	} {
		if got := delayForAsynq(3, tc.err, nil); got != tc.want {
			t.Errorf("delayForAsynq(%T) = %s, want %s", tc.err, got, tc.want)
		}
	}
}

func TestIsFailure_WhatComesBackForAReasonOfOursIsNone(t *testing.T) {
	t.Parallel()
	cause := errors.New("anything")
	for _, tc := range []struct {
		err  error
		want bool
	}{
		{&retryLater{cause: cause, free: true}, false},
		{&retryLater{cause: cause}, true},
		{&quarantine{reason: cause}, true},
		{cause, true},
	} {
		if got := isFailure(forAsynq(tc.err)); got != tc.want {
			t.Errorf("isFailure(%#v) = %t, want %t", tc.err, got, tc.want)
		}
	}
}
