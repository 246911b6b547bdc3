package faults

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const good = `# A title
# and a comment
redis: single appendonly=yes appendfsync=always
workers: 3 PAYBLR_TIMEOUT=2s
producers: durability disk
load: 400 unblocks at 100/s, each for 60s
api: latency 50ms, chaos 10%, orphans 50%

at 2s: freeze worker 3
every 500ms from 1s, 20 times: bounce worker any
expect: all end within 30s
expect: 99.5% succeed
`

func TestParse_ReadsEverySetting(t *testing.T) {
	t.Parallel()
	s, err := Parse("good", good)
	if err != nil {
		t.Fatal(err)
	}
	got := *s
	got.steps, got.expectations = nil, nil
	want := Scenario{
		Name: "good", Title: "A title", Redis: "single", RedisArgs: []string{"--appendonly", "yes", "--appendfsync", "always"},
		Workers: 3, WorkerEnv: []string{"PAYBLR_TIMEOUT=2s"}, Durability: "disk", Operations: 400, Rate: 100, Kinds: "unblocks", Expiry: time.Minute,
		Latency: 50 * time.Millisecond, Chaos: 0.1, Orphans: 0.5,
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Scenario{})); diff != "" {
		t.Errorf("Parse (-want +got):\n%s", diff)
	}
	if len(s.steps) != 2 || s.steps[1].times != 20 || s.steps[1].every != 500*time.Millisecond || s.steps[1].at != time.Second {
		t.Errorf("the steps are %+v", s.steps)
	}
	if len(s.expectations) != 2 || s.expectations[1].line != 12 || s.expectations[1].check.args.share != 0.995 {
		t.Errorf("the expectations are %+v", s.expectations)
	}
}

func TestParse_RefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, old, new, want string }{
		{"setting", "workers: 3", "wrokers: 3", `line 4: "wrokers" is none of`},
		{"fault", "freeze worker 3", "melt worker 3", `line 9: "melt worker 3" is none of`},
		{"expectation", "99.5% succeed", "all is well", `line 12: "all is well" is none of`},
		{"kind of load", "400 unblocks", "400 blocks", `"blocks" is none of operations`},
		{"load", "at 100/s", "100/s", "is not like 400 operations at 100/s"},
		{"rate", "at 100/s", "at 0/s", "never ends"},
		{"time", "at 2s:", "at two:", `"two" is no duration`},
		{"repetition", "every 500ms from 1s, 20 times", "every 500ms", "is neither like"},
		{"worker that is none", "freeze worker 3", "freeze worker zero", `"zero" is no worker`},
		{"worker beyond the last", "freeze worker 3", "freeze worker 4", "there are 3 workers"},
		{"percentage", "chaos 10%", "chaos 110%", "no percentage"},
		{"part of the API", "latency 50ms", "lateness 50ms", `"lateness" is none of latency`},
		{"Redis", "redis: single", "redis: double", `"double" is none of single`},
		{"settings of a cluster", "redis: single", "redis: cluster", "only single takes settings"},
		{"clock", "redis: single", "redis: single clock=fast", "no clock such as"},
		{"clock of a cluster", "redis: single appendonly=yes appendfsync=always", "redis: cluster\nat 1s: the clock of redis jumps back by 5m", "only a single Redis has a clock"},
		{"variable", "PAYBLR_TIMEOUT=2s", "PAYBLR_TIMEOUT", "is no variable"},
		{"durability", "durability disk", "durability paper", "is not durability with one of [memory disk replica]"},
		{"empty line", "api: latency 50ms, chaos 10%, orphans 50%", "api:", "nothing after the colon"},
		{"no title", "# A title\n# and a comment", "", "has to say in a comment"},
		{"no load", "load: 400 unblocks at 100/s, each for 60s", "", "there is no load"},
		{"network of a cluster", "redis: single appendonly=yes appendfsync=always", "redis: cluster\nat 1s: network heals", "need a single Redis"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(good, tc.old, tc.new, 1)
			if text == good {
				t.Fatalf("%q is not in the scenario", tc.old)
			}
			_, err := Parse("bad", text)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Parse = %v, want an error that says %q", err, tc.want)
			}
		})
	}
}

func TestParse_NamesEveryMistakeAtOnce(t *testing.T) {
	t.Parallel()
	_, err := Parse("bad", "# A title\nfoo: 1\nbar: 2\n")
	for _, want := range []string{"line 2", "line 3"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse = %v, want an error that says %q", err, want)
		}
	}
}

func TestParse_EveryScenarioCanBeRead(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("scenarios: %v, %v", files, err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(f, string(text)); err != nil {
			t.Error(err)
		}
	}
}

func TestSchedule_FollowsFromTheSeed(t *testing.T) {
	t.Parallel()
	s, err := Parse("good", good)
	if err != nil {
		t.Fatal(err)
	}
	plan := func(seed uint64) (out []string) {
		for _, m := range s.schedule(rand.New(rand.NewPCG(seed, 0))) {
			out = append(out, m.at.String()+" "+m.do.text+" "+string(rune('0'+m.do.args.worker)))
		}
		return out
	}
	if diff := cmp.Diff(plan(1), plan(1)); diff != "" {
		t.Errorf("one seed gave two schedules:\n%s", diff)
	}
	if cmp.Equal(plan(1), plan(2)) {
		t.Error("two seeds gave one schedule")
	}
}

func TestSchedule_StaysInItsPeriodsAndNamesWorkersThatExist(t *testing.T) {
	t.Parallel()
	s, err := Parse("good", good)
	if err != nil {
		t.Fatal(err)
	}
	moments := s.schedule(rand.New(rand.NewPCG(1, 0)))
	if len(moments) != 21 {
		t.Fatalf("%d faults, want 21", len(moments))
	}
	n := 0
	for i, m := range moments {
		if i > 0 && m.at < moments[i-1].at {
			t.Errorf("fault %d at %s comes after one at %s", i, m.at, moments[i-1].at)
		}
		if w := m.do.args.worker; w < 1 || w > s.Workers {
			t.Errorf("%q hits worker %d of %d", m.do.text, w, s.Workers)
		}
		if !strings.HasPrefix(m.do.text, "bounce") {
			continue
		}
		from := time.Second + time.Duration(n)*500*time.Millisecond
		if m.at < from || m.at > from+250*time.Millisecond {
			t.Errorf("bounce %d at %s, want it within 250ms from %s", n, m.at, from)
		}
		n++
	}
}
