package docstest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cardworker/cardworker/tasks"
)

// Between these lines of a document stands the state diagram.
const (
	statesBegin = "<!-- states: `make docs` writes what follows from tasks/transition.go -->\n"
	statesEnd   = "<!-- end of states -->\n"
)

// TestStates_DiagramIsTheTableInTheCode compares, and with UPDATE_DOCS=1 writes, the diagram.
func TestStates_DiagramIsTheTableInTheCode(t *testing.T) {
	t.Parallel()
	text := read(t, architecture)
	before, rest, found := strings.Cut(text, statesBegin)
	drawn, after, found2 := strings.Cut(rest, statesEnd)
	if !found || !found2 {
		t.Fatalf("%s has no place for the state diagram, between\n%s%s", architecture, statesBegin, statesEnd)
	}
	want := diagram()
	if os.Getenv("UPDATE_DOCS") != "" && drawn != want {
		text = before + statesBegin + want + statesEnd + after
		if err := os.WriteFile(filepath.Join(root, architecture), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, drawn); diff != "" {
		t.Errorf("the state diagram of %s is not that of the code; run make docs (-code +drawn):\n%s", architecture, diff)
	}
}

// diagram draws the state machine: an arrow for each pair of states, with the events that lead from the
// one to the other.
func diagram() string {
	var b strings.Builder
	b.WriteString("```mermaid\nstateDiagram-v2\n")
	for _, from := range append([]tasks.State{""}, tasks.States()...) {
		for _, to := range tasks.States() {
			if label := events(from, to); label != "" {
				fmt.Fprintf(&b, "    %s --> %s : %s\n", orOutside(from), to, label)
			}
		}
		if from.Done() {
			fmt.Fprintf(&b, "    %s --> [*]\n", from)
		}
	}
	b.WriteString("```\n")
	return b.String()
}

// orOutside names a state in the diagram; [*] is what is before the first and after the last.
func orOutside(s tasks.State) string {
	if s == "" {
		return "[*]"
	}
	return string(s)
}

// events lists the events that lead from one state to the other, each with when that happens.
func events(from, to tasks.State) string {
	var labels []string
	for _, e := range tasks.Events() {
		var whys []string
		happens := false
		for _, tr := range tasks.Transitions() {
			if tr.Event != e || tr.From.State != from || tr.To.State != to {
				continue
			}
			happens = true
			if tr.Why != "" && !slices.Contains(whys, tr.Why) {
				whys = append(whys, tr.Why)
			}
		}
		switch {
		case len(whys) > 0:
			labels = append(labels, fmt.Sprintf("%s (%s)", e, strings.Join(whys, ", or ")))
		case happens:
			labels = append(labels, string(e))
		}
	}
	return strings.Join(labels, ", ")
}
