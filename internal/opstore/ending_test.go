package opstore

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cardworker/cardworker/tasks"
)

// Whoever has read an operation at any time before its end sees the same by the message as by a read.
func anEndingTellsWhatAReadFinds(t *testing.T, f fixture) {
	text, code, offline := "with a\nnew line, \"quotes\" and \x00", "00", 2
	status := &tasks.Status{Value: "Blocked", Blocked: true, RemainingOfflineTries: &offline, Code: &code, Description: &text}
	for name, tc := range map[string]struct {
		kind tasks.Kind
		res  Result
	}{
		"confirmed":     {tasks.UnblockPIN, Result{Status: unblocked()}},
		"still blocked": {tasks.UnblockCVV, Result{Status: status, Error: failure(tasks.CodeStillBlocked)}},
		"was applied":   {tasks.UnblockPIN, Result{Status: unblocked(), Accepted: true}},
		"read":          {tasks.RefreshPINStatus, Result{Status: status}},
	} {
		rec := f.open(tc.kind)
		w := f.watcher()
		x := watch(t, w, rec.ID)
		receive(t, "the watch is effective", x.C)
		if e := receive(t, "that something may have been missed", x.Ended); e != mayHaveEnded {
			t.Errorf("%s: the first wake tells %q, want nothing", name, e.told)
		}
		b := f.begun(rec, Lease{}, Go)
		seen := []Record{rec, f.get(rec.ID)}
		if tc.kind.Unblocks() && !tc.res.Accepted {
			b = f.handover(f.store, b)
			seen = append(seen, f.get(rec.ID))
		}
		f.finish(b, tc.res)
		end := receive(t, "the end", x.Ended)
		want := f.get(rec.ID)
		for _, before := range seen {
			got, ok := end.Of(before)
			if !ok {
				t.Fatalf("%s: %q tells nothing of %+v", name, end.told, before)
			}
			if diff := cmp.Diff(want.Operation(), got.Operation()); diff != "" || got.Version != want.Version {
				t.Errorf("%s: by the message version %d, want %d; (-read +told):\n%s", name, got.Version, want.Version, diff)
			}
		}
		if _, ok := end.Of(want); ok {
			t.Errorf("%s: the ending tells something of what was read after it", name)
		}
	}
}

// An earlier attempt may have left a status.
func anEndingWithoutAStatusIsToBeRead(t *testing.T, f fixture) {
	rec := f.open(tasks.UnblockPIN)
	x := watch(t, f.watcher(), rec.ID)
	receive(t, "the watch is effective", x.C)
	receive(t, "that something may have been missed", x.Ended)
	f.done(rec, Result{Error: failure(tasks.CodeCardNotFound)})
	end := receive(t, "the end", x.Ended)
	if got, ok := end.Of(rec); ok {
		t.Errorf("%q tells %+v, want a read", end.told, got)
	}
}

func TestEnding_OfWhatItDoesNotUnderstandTellsNothing(t *testing.T) {
	t.Parallel()
	rec := Record{ID: NewID(card(t)), Version: 3}
	const good = "succeeded\n4\n1764378000000\n1764378000000\n1\n[\"Unblocked\",false,null,null,null,null]\n"
	got, ok := Ending{good}.Of(rec)
	if want := time.UnixMilli(1764378000000).UTC(); !ok || got.State != tasks.Succeeded || got.Version != 4 || got.Attempts != 1 ||
		!got.Updated.Equal(want) || !got.Accepted.Equal(want) || !got.Status.ObservedAt.Equal(want) || got.Error != nil {
		t.Fatalf("%q tells %+v, %t", good, got, ok)
	}
	for what, told := range map[string]string{
		"nothing":           "",
		"an older release":  "succeeded",
		"a newer release":   good + "\nmore",
		"a step on the way": strings.Replace(good, "succeeded", "confirming", 1),
		"no number":         strings.Replace(good, "\n4\n", "\nfour\n", 1),
		"no time":           strings.Replace(good, "1764378000000", "today", 1),
		"no status":         strings.Replace(good, `["Unblocked",false,null,null,null,null]`, "", 1),
		"another status":    strings.Replace(good, ",null]", "]", 1),
		"no error":          good + "{",
		"an earlier end":    strings.Replace(good, "\n4\n", "\n3\n", 1),
	} {
		if got, ok := (Ending{told}).Of(rec); ok {
			t.Errorf("%s: %q tells %+v, want nothing", what, told, got)
		}
	}
}

// What was missed while the connection was away may be more than what the next message tells.
func TestEnding_DoesNotHideThatSomethingWasMissed(t *testing.T) {
	t.Parallel()
	x := &Watch{c: make(chan struct{}, 1), ended: make(chan Ending, 1)}
	told := Ending{"succeeded\n…"}
	for _, tc := range []struct {
		wakes []Ending
		want  Ending
	}{
		{[]Ending{told}, told},
		{[]Ending{mayHaveEnded, told}, mayHaveEnded},
		{[]Ending{told, mayHaveEnded}, mayHaveEnded},
		{[]Ending{{"failed"}, told}, told},
		{[]Ending{told, {"running"}}, told},
	} {
		for _, e := range tc.wakes {
			x.wake(e)
		}
		if got := receive(t, "an ending", x.ended); got != tc.want {
			t.Errorf("%q come as %q, want %q", tc.wakes, got, tc.want)
		}
	}
}
