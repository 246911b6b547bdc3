package faults

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cardworker/cardworker/internal/audit"
	"github.com/cardworker/cardworker/internal/failpoint"
	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/internal/sandbox"
	"github.com/cardworker/cardworker/tasks"
)

// Every point there is has a worker or producer killed at it in some scenario.
func TestScenarios_CrashAtEveryPoint(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[failpoint.Point]bool{}
	for _, f := range files {
		for _, st := range scenario(t, strings.TrimSuffix(filepath.Base(f), ".txt")).steps {
			if strings.HasPrefix(st.do.form.words, "crash ") {
				seen[st.do.args.point] = true
			}
		}
	}
	for _, p := range failpoint.Points() {
		if !seen[p] {
			t.Errorf("no scenario has a process killed at %s", p)
		}
	}
}

// Every point of the list stands somewhere in the code.
func TestPoints_AreInTheCode(t *testing.T) {
	t.Parallel()
	var code strings.Builder
	for _, dir := range []string{"../../worker", "../../enqueue"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			code.Write(text)
		}
	}
	hits := regexp.MustCompile(`failpoint\.Hit\(failpoint\.(\w+)\)`).FindAllStringSubmatch(code.String(), -1)
	for _, p := range failpoint.Points() {
		name := strings.ReplaceAll(string(p), "-", "")
		if !slices.ContainsFunc(hits, func(m []string) bool { return strings.EqualFold(m[1], name) }) {
			t.Errorf("nothing hits %s", p)
		}
	}
}

func TestEndsAfterCrash_CountFromTheKillThatHitTheOperation(t *testing.T) {
	t.Parallel()
	kills := []kill{{at(1000), []string{"hit", "twice", "helped", "left"}}, {at(3000), []string{"twice"}}, {at(4600), nil}, {at(9000), nil}}
	events := map[string][]opstore.Event{
		// Its new task was lost with the worker that was killed after 4.6 s.
		"helped": {{At: at(600), Name: "begun"}, {At: at(4595), Name: "redispatched"}, {At: at(7000), Name: "redispatched"}, {At: at(7010), Name: "begun"}},
		// This one was begun before that, and this one forgotten long before.
		"hit":  {{At: at(600), Name: "begun"}, {At: at(4550), Name: "redispatched"}, {At: at(4560), Name: "begun"}},
		"left": {{At: at(600), Name: "begun"}, {At: at(2000), Name: "redispatched"}, {At: at(10_990), Name: "begun"}},
	}
	finals := map[string]tasks.Operation{
		"hit":     {ID: "hit", CreatedAt: at(500), UpdatedAt: at(5000)},    // 4 s after the first
		"twice":   {ID: "twice", CreatedAt: at(500), UpdatedAt: at(7000)},  // 4 s after the second
		"helped":  {ID: "helped", CreatedAt: at(500), UpdatedAt: at(7100)}, // 2.5 s after the one that it was lost with
		"left":    {ID: "left", CreatedAt: at(500), UpdatedAt: at(11_000)}, // 10 s
		"waiting": {ID: "waiting", CreatedAt: at(900), UpdatedAt: at(4500)},
		"before":  {ID: "before", CreatedAt: at(0), UpdatedAt: at(800)},
		"after":   {ID: "after", CreatedAt: at(9500), UpdatedAt: at(9900)},
	}
	all, slowest := endsAfterCrash(kills, finals, events)
	slices.Sort(all)
	want := []time.Duration{2500 * time.Millisecond, 3500 * time.Millisecond, 4 * time.Second, 4 * time.Second, 10 * time.Second}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Errorf("endsAfterCrash (-want +got):\n%s", diff)
	}
	if slowest != "left" {
		t.Errorf("the slowest is %q", slowest)
	}
}

func TestRecoveries_LeaveOutWhoWasHitTwice(t *testing.T) {
	t.Parallel()
	events := eventsOf("a", "redispatched 2000", "redispatched 6000", "begun 6100")
	if got := recoveries([]kill{{at(0), []string{"a"}}, {at(2100), nil}}, events); len(got) != 0 {
		t.Errorf("recoveries = %v, want none: its helper was killed", got)
	}
	if got := recoveries([]kill{{at(0), []string{"a"}}, {at(1900), nil}}, events); len(got) != 1 {
		t.Errorf("recoveries = %v, want one: the other kill came before the help", got)
	}
}

// crashed is a run in which one card was unblocked as often as the API was asked.
func crashed(t *testing.T, unblocks int) *run {
	r := &run{t: t, result: audit.Run{Finals: map[string]tasks.Operation{"a": {ID: "a", CreatedAt: at(0), UpdatedAt: at(4000)}}}}
	r.asked = []request{{Request: audit.Request{ID: "a", Card: "Zq0000001"}}}
	for i := range unblocks {
		applied := at(i)
		r.result.Calls = append(r.result.Calls, sandbox.Entry{Call: sandbox.CallUnblockPIN, PublicToken: "Zq0000001", AppliedAt: &applied})
	}
	return r
}

// says returns what an expectation makes of a run.
func says(t *testing.T, r *run, text string) string {
	t.Helper()
	c, err := phrase(text, checks)
	if err != nil {
		t.Fatal(err)
	}
	return c.form.f(r, c.args)
}

func TestCrashChecks_CanFail(t *testing.T) {
	t.Parallel()
	late := &process{output: &output{}}
	_, _ = late.output.Write([]byte(`{"msg":"finish cw01-X: superseded (fence 3)"}` + "\n" + `{"level":"error","msg":"panic (string): …"}`))
	killed := crashed(t, 1)
	killed.kills = []kill{{at(1000), []string{"a"}}}
	interrupted := crashed(t, 1)
	interrupted.frozen = []*process{late}
	interrupted.fleet = &fleet{all: []*process{late}}
	untouched := crashed(t, 1)
	untouched.fleet = &fleet{}
	for _, tc := range []struct {
		text      string
		good, bad *run
	}{
		{"no unblock is applied twice", crashed(t, 1), crashed(t, 2)},
		{"what was open at a crash ends within 4s", killed, crashed(t, 1)},
		{"at least 1 late writes are refused", interrupted, untouched},
		{"at least 1 panics", interrupted, untouched},
	} {
		if what := says(t, tc.good, tc.text); what != "" {
			t.Errorf("%s: %s, want nothing wrong", tc.text, what)
		}
		if what := says(t, tc.bad, tc.text); what == "" {
			t.Errorf("%s: nothing was wrong with a run that breaks it", tc.text)
		}
	}
	if what := says(t, killed, "what was open at a crash ends within 2s"); what == "" {
		t.Error("3s after a kill were within 2s")
	}
}
