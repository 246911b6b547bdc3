package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/cardworker/cardworker/tasks"
)

// followed is an operation that is tried, waits, is tried again and succeeds.
func followed() []tasks.Operation {
	op := tasks.Operation{ID: missingID, Kind: tasks.UnblockPIN, PublicToken: "******946", State: tasks.Accepted}
	var all []tasks.Operation
	for _, step := range []struct {
		state    tasks.State
		attempts int
	}{{tasks.Accepted, 0}, {tasks.Running, 1}, {tasks.Running, 1}, {tasks.Running, 2}, {tasks.Confirming, 2}, {tasks.Confirming, 2}, {tasks.Succeeded, 2}} {
		op.State, op.Attempts, op.Done = step.state, step.attempts, step.state.Done()
		op.UpdatedAt = op.UpdatedAt.Add(time.Second)
		all = append(all, op)
	}
	return all
}

func TestWatching_TextHasALineForWhatCanBeSeenToChange(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	write := printer{out: &out}.watching()
	for _, op := range followed() {
		if err := write(op); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		got = append(got, strings.TrimSpace(line))
	}
	want := []string{
		"accepted   PIN of card ******946", missingID,
		"running    PIN of card ******946", missingID + "  1 attempt",
		"running    PIN of card ******946", missingID + "  2 attempts",
		"confirming PIN of card ******946", missingID + "  2 attempts",
		"unblocked  PIN of card ******946, confirmed by reading it back",
	}
	if len(got) != len(want)+1 || strings.Join(got[:len(want)], "\n") != strings.Join(want, "\n") {
		t.Errorf("watched:\n%s\nwant\n%s\nand when it ended", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestWatching_JSONHasALineForEachChange(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	write := printer{out: &out, json: true}.watching()
	for _, op := range followed() {
		if err := write(op); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(out.String(), "\n"); n != len(followed()) {
		t.Errorf("%d lines for %d changes:\n%s", n, len(followed()), out.String())
	}
}
