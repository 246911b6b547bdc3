package main

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/cardworker/cardworker/enqueue"
)

func TestExitCode_OfEveryKindOfError(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err  error
		want int
	}{
		"nil":                  {nil, exitOK},
		"anything":             {errors.New("anything"), exitError},
		"cancelled":            {fmt.Errorf("wait: %w", context.Canceled), exitError},
		"usage":                {fmt.Errorf("wrapped: %w", usagef("wrong")), exitRefused},
		"failed":               {errors.Join(nil, &exit{code: exitFailed}), exitFailed},
		"waiting":              {errors.Join(&exit{exitWaiting, errors.New("not yet")}, nil), exitWaiting},
		"invalid token":        {enqueue.ErrInvalidPublicToken, exitRefused},
		"invalid argument":     {fmt.Errorf("%w: too long", enqueue.ErrInvalidArgument), exitRefused},
		"idempotency mismatch": {enqueue.ErrIdempotencyMismatch, exitRefused},
		"limit":                {enqueue.ErrUnblockLimitReached, exitRefused},
		"busy":                 {enqueue.ErrBusy, exitRefused},
		"not failed":           {enqueue.ErrNotFailed, exitRefused},
		"not found":            {enqueue.ErrNotFound, exitError},
		"queue unavailable":    {fmt.Errorf("%w: %w", enqueue.ErrQueueUnavailable, errors.New("refused")), exitError},
		"of a package's own":   {fmt.Errorf("x: %w", fmt.Errorf("y: %w", enqueue.ErrBusy)), exitRefused},
	} {
		if got := exitCode(tc.err); got != tc.want {
			t.Errorf("%s: exitCode(%v) = %d, want %d", name, tc.err, got, tc.want)
		}
	}
}

func TestExit_WhatHasBeenReportedIsNotReportedAgain(t *testing.T) {
	t.Parallel()
	for _, err := range []error{nil, &exit{code: exitFailed}, errors.Join(nil, &exit{code: exitFailed})} {
		if got := errorText(err); got != "" {
			t.Errorf("errorText(%#v) = %q, want nothing", err, got)
		}
	}
	if got := errorText(fmt.Errorf("wait: %w", context.Canceled)); got != "interrupted" {
		t.Errorf("errorText of an interruption = %q, want interrupted", got)
	}
}

func TestWorse_RanksWhatSaysMore(t *testing.T) {
	t.Parallel()
	order := []int{exitOK, exitWaiting, exitFailed, exitRefused, exitError}
	for i, a := range order {
		for j, b := range order {
			if got, want := worse(a, b), order[max(i, j)]; got != want {
				t.Errorf("worse(%d, %d) = %d, want %d", a, b, got, want)
			}
		}
	}
}
