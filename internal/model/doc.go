// Package model is a Redis in memory that runs the real scripts, for tests that try many schedules: it
// needs no network, takes its time from the caller, hands every command to the caller before and after it
// acts, and can run a script with a defect put into it.
//
// It knows the commands that the operation store, its scripts and the enqueueing side of asynq use, and
// fails on any other. A test compares it with another Redis.
package model
