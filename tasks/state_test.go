package tasks

import "testing"

// What may follow what, as docs and readers know it. A state may be followed by itself while the record
// changes: a task given out anew, a failed try, a read that said blocked.
func TestState_Transitions(t *testing.T) {
	t.Parallel()
	legal := map[[2]State]bool{
		{Accepted, Accepted}:     true, // a lost task is given out anew
		{Accepted, Running}:      true,
		{Accepted, Failed}:       true, // it expired before a worker came
		{Running, Running}:       true,
		{Running, Confirming}:    true,
		{Running, Succeeded}:     true, // a refresh, or an unblock that a read before repeating confirms
		{Running, Failed}:        true,
		{Confirming, Confirming}: true,
		{Confirming, Succeeded}:  true,
		{Confirming, Failed}:     true,
		{Failed, Accepted}:       true, // by an operator
		{Failed, Confirming}:     true, // by an operator, when the unblock had been accepted
	}
	all := append(States(), "", "paused")
	for _, from := range all {
		for _, to := range all {
			if got, want := from.CanBecome(to), legal[[2]State{from, to}]; got != want {
				t.Errorf("%q.CanBecome(%q) = %v, want %v", from, to, got, want)
			}
		}
	}
}

func TestState_DoneMeansTerminal(t *testing.T) {
	t.Parallel()
	for _, s := range States() {
		if got, want := s.Done(), s == Succeeded || s == Failed; got != want {
			t.Errorf("%s.Done() = %v, want %v", s, got, want)
		}
	}
	if State("").Done() {
		t.Error("the zero state is done")
	}
}
