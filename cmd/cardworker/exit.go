package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/cardworker/cardworker/enqueue"
)

// The exit codes.
const (
	exitOK      = 0
	exitError   = 1 // could not do it
	exitRefused = 2 // refused at admission, or wrong usage
	exitFailed  = 3 // the operation failed
	exitWaiting = 4 // --timeout ran out; the operation goes on
)

// exit is an error with an exit code. One without a text has been reported already, by what was
// printed.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

// usagef returns an error of wrong usage.
func usagef(format string, args ...any) error {
	return &exit{exitRefused, fmt.Errorf(format, args...)}
}

// exitCode returns the exit code that an error stands for.
func exitCode(err error) int {
	var e *exit
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &e):
		return e.code
	case errors.Is(err, context.Canceled):
		return exitError
	}
	switch enqueue.CodeOf(err) {
	case "invalid_public_token", "invalid_argument", "idempotency_mismatch", "unblock_limit_reached", "not_failed", "busy":
		return exitRefused
	default:
		return exitError
	}
}

func errorText(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, context.Canceled):
		return "interrupted"
	default:
		return err.Error()
	}
}

// worse returns the exit code that says more of the two, for commands that do many things.
func worse(a, b int) int {
	rank := map[int]int{exitOK: 0, exitWaiting: 1, exitFailed: 2, exitRefused: 3, exitError: 4}
	if rank[b] > rank[a] {
		return b
	}
	return a
}
