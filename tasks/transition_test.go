package tasks

import (
	"slices"
	"testing"
)

func TestTransitions_ReachEveryStageFromTheFirst(t *testing.T) {
	t.Parallel()
	reached := []Stage{{}}
	for i := 0; i < len(reached); i++ {
		for _, e := range Events() {
			for _, next := range reached[i].After(e) {
				if !slices.Contains(reached, next) {
					reached = append(reached, next)
				}
			}
		}
	}
	for _, tr := range Transitions() {
		if !slices.Contains(reached, tr.From) || !slices.Contains(reached, tr.To) {
			t.Errorf("%+v --%s--> %+v cannot be reached", tr.From, tr.Event, tr.To)
		}
	}
	for _, s := range States() {
		if !slices.ContainsFunc(reached, func(r Stage) bool { return r.State == s }) {
			t.Errorf("no event leads to %s", s)
		}
	}
}

func TestTransitions_EveryOpenStageHasAWayToAnEnd(t *testing.T) {
	t.Parallel()
	var ends func(s Stage, seen []Stage) bool
	ends = func(s Stage, seen []Stage) bool {
		if s.State.Done() {
			return true
		}
		for _, tr := range Transitions() {
			if tr.From == s && !slices.Contains(seen, tr.To) && ends(tr.To, append(seen, tr.To)) {
				return true
			}
		}
		return false
	}
	for _, tr := range Transitions() {
		if !ends(tr.To, []Stage{tr.To}) {
			t.Errorf("nothing leads from %+v to an end", tr.To)
		}
	}
}

func TestTransitions_OnlyAnOperatorLeadsOutOfAnEnd(t *testing.T) {
	t.Parallel()
	for _, tr := range Transitions() {
		if tr.From.State.Done() && (tr.From.State != Failed || tr.Event != EventRedriven) {
			t.Errorf("%s leads from %s to %s", tr.Event, tr.From.State, tr.To.State)
		}
		if tr.From.State.Done() != (tr.From.Phase == "" && tr.From != Stage{}) || tr.To.State.Done() != (tr.To.Phase == "") {
			t.Errorf("%+v --%s--> %+v: an end has a phase or an open state has none", tr.From, tr.Event, tr.To)
		}
	}
}

// A success is written by a run that has begun since the operation's task was last given out: what wrote it
// else would be a run that was superseded.
func TestTransitions_ASuccessNeedsABegin(t *testing.T) {
	t.Parallel()
	for _, tr := range Transitions() {
		if tr.Event == EventSucceeded && tr.From.Phase != Begun {
			t.Errorf("succeeded from %+v", tr.From)
		}
		if tr.From.Phase == Waiting && tr.To.Phase == Begun && tr.Event != EventBegun {
			t.Errorf("%s begins %+v", tr.Event, tr.From)
		}
	}
}

func TestTransitions_AreTheCallersToChange(t *testing.T) {
	t.Parallel()
	Transitions()[0].To = Stage{}
	if got := (Stage{}).After(EventAccepted); len(got) != 1 || got[0] != (Stage{Accepted, Waiting}) {
		t.Errorf("accepted leads to %v, want accepted and waiting", got)
	}
	if got := (Stage{State: Failed}).After(EventRedriven); len(got) != 2 {
		t.Errorf("redriven leads to %v, want two stages", got)
	}
	if got := (Stage{State: Succeeded}).After(EventBegun); got != nil {
		t.Errorf("a succeeded operation begins: %v", got)
	}
}
