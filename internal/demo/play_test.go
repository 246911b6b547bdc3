package demo

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cardworker/cardworker/internal/sandbox"
	"github.com/cardworker/cardworker/tasks"
)

// What each scene of the story has to come to, in its order. It is told apart from the scenes' own facts,
// which are only as good as those who wrote them.
var wantStory = []struct {
	name  string
	tally tally
	calls int
	end   string
}{
	{"PINUnblockedAndConfirmed", tally{requests: 1, operations: 1, sent: 1, applied: 1, reads: 1, after: 1}, 2, "succeeded"},
	{"CVVUnblockedAndConfirmed", tally{requests: 1, operations: 1, sent: 1, applied: 1, reads: 1, after: 1}, 2, "succeeded"},
	{"StatusRefreshed", tally{requests: 1, operations: 1, reads: 1}, 1, "succeeded"},
	{"APIFailsTwice", tally{requests: 1, operations: 1, sent: 3, applied: 1, failed: 2, reads: 5, after: 1}, 8, "succeeded"},
	{"LostReplyIsNotSentTwice", tally{requests: 1, operations: 1, sent: 1, applied: 1, lost: 1, reads: 1, after: 1}, 2, "succeeded"},
	{"CardDoesNotExist", tally{requests: 1, operations: 1, sent: 1, failed: 1}, 1, "card_not_found"},
	{"TwoTapsAreOneOperation", tally{requests: 2, operations: 1, sent: 1, applied: 1, reads: 1, after: 1}, 2, "succeeded"},
}

func TestStory(t *testing.T) {
	t.Parallel()
	s, scenes := launch(t), story()
	if len(scenes) != len(wantStory) {
		t.Fatalf("the story has %d scenes, want %d", len(scenes), len(wantStory))
	}
	for i, want := range wantStory {
		t.Run(want.name, func(t *testing.T) {
			perf, err := s.play(t.Context(), scenes[i])
			if err != nil {
				t.Fatalf("play: %v", err)
			}
			if len(perf.problems) > 0 {
				t.Errorf("problems: %q", perf.problems)
			}
			if diff := cmp.Diff(want.tally, perf.tally, cmp.AllowUnexported(tally{})); diff != "" {
				t.Errorf("tally (-want +got):\n%s", diff)
			}
			if got := outcome(perf.end); got != want.end || perf.calls != want.calls {
				t.Errorf("%s after %d calls, want %s after %d", got, perf.calls, want.end, want.calls)
			}
			checkTimeline(t, perf)
		})
	}
	if n := s.api.Counters().Calls[sandbox.CallPIN].Received; n != 0 {
		t.Errorf("%d PINs were read, want none", n)
	}
}

// checkTimeline fails the test unless the events are in order, from a question to its answer, with a line
// for each call of the API.
func checkTimeline(t *testing.T, perf performance) {
	t.Helper()
	calls := 0
	for i, e := range perf.events {
		if i > 0 && e.at.Before(perf.events[i-1].at) {
			t.Errorf("%q comes after %q, but happened %s before", e.what, perf.events[i-1].what, perf.events[i-1].at.Sub(e.at))
		}
		if e.at.Before(perf.began) {
			t.Errorf("%q happened %s before the scene began", e.what, perf.began.Sub(e.at))
		}
		if e.who == actorCall {
			calls++
		}
		if strings.Contains(e.what, perf.scene.card) {
			t.Errorf("%q shows the whole public token", e.what)
		}
	}
	if calls != perf.calls {
		t.Errorf("the timeline shows %d calls, want %d", calls, perf.calls)
	}
	first, last := perf.events[0].what, perf.events[len(perf.events)-1].what
	if !strings.Contains(first, "asks") || !strings.Contains(last, "told: ") {
		t.Errorf("the timeline goes from %q to %q, want from a question to its answer", first, last)
	}
}

func TestPlay_FactThatDoesNotHoldIsAProblem(t *testing.T) {
	t.Parallel()
	perf, err := launch(t).play(t.Context(), scene{
		kind: tasks.UnblockPIN, card: "111111111", taps: 1, facts: []fact{unblocksSent(2), readsAfter(1)},
	})
	if want := []string{"1 unblock sent instead of 2"}; err != nil || !cmp.Equal(perf.problems, want) {
		t.Errorf("problems = %q, %v, want %q", perf.problems, err, want)
	}
}

func TestPlay_WrongEndIsAProblem(t *testing.T) {
	t.Parallel()
	s := launch(t)
	for _, tc := range []struct{ card, want string }{
		{"404111111", "tap 1: card_not_found instead of succeeded"},
		{"no token!", "tap 1: invalid public token"},
	} {
		perf, err := s.play(t.Context(), scene{kind: tasks.UnblockPIN, card: tc.card, taps: 1})
		if err != nil || len(perf.problems) != 1 || !strings.HasPrefix(perf.problems[0], tc.want) {
			t.Errorf("problems = %q, %v, want %q", perf.problems, err, tc.want)
		}
	}
	perf, err := s.play(t.Context(), scene{kind: tasks.UnblockPIN, card: "111111111", taps: 1, code: tasks.CodeCardNotFound})
	if want := []string{"tap 1: succeeded instead of card_not_found"}; err != nil || !cmp.Equal(perf.problems, want) {
		t.Errorf("problems = %q, %v, want %q", perf.problems, err, want)
	}
}

func TestCheckEnd_AnswerThatIsNotTrueIsAProblem(t *testing.T) {
	t.Parallel()
	s := launch(t)
	end := tasks.Operation{State: tasks.Succeeded, Status: &tasks.Status{Value: "Unblocked"}}
	sc := scene{kind: tasks.UnblockPIN, card: "111111111"} // Blocked, and nobody has unblocked it.
	if got, want := s.checkEnd(sc, tap{end: end}), "the card is not as the backend was told"; got != want {
		t.Errorf("checkEnd = %q, want %q", got, want)
	}
}

func TestStory_CardsAreNoExamples(t *testing.T) {
	t.Parallel()
	taken := map[string]bool{}
	for _, c := range sandbox.MagicCards() {
		taken[c.Example] = true
	}
	if !taken[blockedCard] || !taken[unknownCard] {
		t.Errorf("the cards to paste are not in the table of magic cards")
	}
	for _, sc := range story() {
		if taken[sc.card] {
			t.Errorf("%q uses a card that is an example or another scene's", sc.title)
		}
		taken[sc.card] = true
		if _, err := tasks.ParsePublicToken(sc.card); err != nil {
			t.Errorf("%q: %v", sc.title, err)
		}
	}
}
