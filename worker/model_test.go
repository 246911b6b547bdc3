package worker

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cardworker/cardworker/tasks"
)

// The model test takes the real worker, the real producer and the real scripts through every schedule of a
// small world in which a few decisions are other than plain: who makes the next step, a process that dies
// before a step, a command or call that is lost before or after it acted, one that the client sends again,
// a worker that stands still until its lease has lapsed and then goes on, a task that is delivered twice,
// recovery that comes between. At the end of each the audit of the fault runs looks at the ledgers.
//
// What a schedule cannot do: hold a request up in the network for longer than the lease. No fence reaches
// into the API, so an unblock that arrives that late may be a second one.

// scenarios are the worlds; faults is chosen so that all of them together take seconds.
var scenarios = []scenario{
	{name: "unblock PIN", kind: tasks.UnblockPIN, producers: 1, faults: 2},
	{name: "unblock PIN by way of the queue", kind: tasks.UnblockPIN, producers: 1, faults: 2, byQueue: true},
	{name: "two taps on the button", kind: tasks.UnblockCVV, producers: 2, faults: 2},
	{name: "refresh", kind: tasks.RefreshPINStatus, producers: 1, faults: 2},
	{name: "an API that lags", kind: tasks.UnblockPIN, producers: 1, faults: 1, lag: 3},
	{name: "a short life", kind: tasks.UnblockPIN, producers: 1, faults: 2, lifetime: 2 * time.Second},
	{
		name: "a tap after the first has expired", kind: tasks.UnblockPIN, producers: 2, faults: 2,
		lifetime: time.Second, apart: 1200 * time.Millisecond,
	},
	{
		name: "a tap after the first has expired, by way of the queue", kind: tasks.UnblockPIN, producers: 2, faults: 2,
		lifetime: time.Second, apart: 1200 * time.Millisecond, byQueue: true,
	},
	{
		name: "a tap after its worker was lost", kind: tasks.UnblockCVV, producers: 2, faults: 2,
		lifetime: time.Second, apart: 3100 * time.Millisecond,
	},
	{
		name: "a refresh again after its worker was lost", kind: tasks.RefreshPINStatus, producers: 2, faults: 1,
		lifetime: time.Second, apart: 3100 * time.Millisecond,
	},
	{name: "an API that is down", kind: tasks.UnblockCVV, producers: 1, faults: 1, down: true, lifetime: 5 * time.Second},
	{name: "Redis is five minutes ahead", kind: tasks.UnblockPIN, producers: 1, faults: 1, skew: 5 * time.Minute},
	{name: "Redis is five minutes behind", kind: tasks.UnblockPIN, producers: 1, faults: 1, skew: -5 * time.Minute},
}

// everyNth is how many of the schedules with two faults are played: one of so many. `make model` plays all.
func everyNth(t testing.TB) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv("MODEL_EVERY"))
	if os.Getenv("MODEL_EVERY") == "" {
		return 16
	}
	if err != nil || n < 1 {
		t.Fatalf("MODEL_EVERY is %q, want a number from 1", os.Getenv("MODEL_EVERY"))
	}
	return n
}

func TestModel_NoScheduleBreaksAnInvariant(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	total, taken := 0, map[tasks.Transition]bool{}
	t.Run("scenarios", func(t *testing.T) {
		for _, sc := range scenarios {
			t.Run(sc.name, func(t *testing.T) {
				t.Parallel()
				mine := map[tasks.Transition]bool{}
				e := explorer{scenario: sc, every: everyNth(t), cover: func(tr tasks.Transition) { mine[tr] = true }}
				e.explore(t)
				if e.broken != nil {
					t.Errorf("after %d schedules, this one (! marks what is not plain):\n%s\n%s", e.played, e.bad, strings.Join(e.broken, "\n"))
				}
				t.Logf("%d schedules", e.played)
				mu.Lock()
				defer mu.Unlock()
				total += e.played
				for tr := range mine {
					taken[tr] = true
				}
			})
		}
	})
	t.Logf("%d schedules", total)
	for _, tr := range tasks.Transitions() {
		if !taken[tr] {
			t.Logf("not taken: %v --%s--> %v", tr.From, tr.Event, tr.To)
		}
	}
	for _, e := range tasks.Events() {
		if e != tasks.EventRedriven && !slices.ContainsFunc(slices.Collect(maps.Keys(taken)), func(tr tasks.Transition) bool { return tr.Event == e }) {
			t.Errorf("no schedule led to the event %s", e)
		}
	}
}

// explorer plays the schedules of a scenario, those with the fewest faults first, until one breaks
// something.
type explorer struct {
	scenario scenario
	every    int // of the schedules with all the faults that the scenario allows, if those are more than one
	cover    func(tasks.Transition)

	played int
	bad    *course
	broken []string
}

func (e *explorer) explore(t *testing.T) {
	t.Helper()
	full := 0
	for todo := [][]decision{nil}; len(todo) > 0; {
		prefix := todo[0]
		todo = todo[1:]
		c := &course{prefix: prefix, faults: e.scenario.faults}
		if e.scenario.faults > 1 && faultsIn(prefix) == e.scenario.faults {
			if full++; full%e.every != 0 {
				continue
			}
		}
		e.played++
		if e.broken = play(t, e.scenario, c, e.cover); len(e.broken) > 0 {
			e.bad = c
			return
		}
		for i := len(prefix); i < len(c.taken); i++ {
			for o := 1; o < c.taken[i].options; o++ {
				todo = append(todo, append(c.taken[:i:i], decision{option: o}))
			}
		}
	}
}

func faultsIn(ds []decision) int {
	n := 0
	for _, d := range ds {
		if d.option > 0 {
			n++
		}
	}
	return n
}

// defects are put into the scripts to see that the model test would find them.
var defects = []struct {
	name     string
	old, new string
	scenario scenario
}{
	{
		"a stale fence may write", "return record[FENCE] == fence and not is_done(record[STATE])", "return not is_done(record[STATE])",
		scenario{kind: tasks.UnblockPIN, producers: 1, faults: 2, only: []fate{stalls}},
	},
	{
		"a second run does not read before it repeats", "(record[CALL] or '') == '' and 'open' or 'was'", "'open'",
		scenario{kind: tasks.UnblockPIN, producers: 1, faults: 1},
	},
	{
		"a failed attempt forgets that its call may have been applied", "NEXT_MS, due, CALL, ARGV[6]", "NEXT_MS, due, CALL, ''",
		scenario{kind: tasks.UnblockPIN, producers: 1, faults: 1},
	},
	{
		"two runs hold the lease", "if tonumber(record[LEASE_MS]) > now and not repeated then return {'held', now} end", "",
		scenario{kind: tasks.UnblockPIN, producers: 1, faults: 2, only: []fate{crashes, stalls}},
	},
	{
		"a new task has the number of the lost one",
		"  return {'stale', now}\nend\nlocal seq = tostring(record[SEQ] + 1)",
		"  return {'stale', now}\nend\nlocal seq = record[SEQ]",
		scenario{kind: tasks.UnblockPIN, producers: 1, faults: 1},
	},
	{
		"a replaced task leaves the fence",
		"SEQ, seq, FENCE, record[FENCE] + 1, LEASE_MS, '0', TASK_QUEUE, ARGV[4]",
		"SEQ, seq, LEASE_MS, '0', TASK_QUEUE, ARGV[4]",
		scenario{kind: tasks.UnblockPIN, producers: 1, faults: 2, only: []fate{stalls}},
	},
	{
		"recovery does not look for the confirming task",
		"redis.call('ZADD', KEYS[3], now + tonumber(ARGV[5]), ARGV[1])\nchange(KEYS[1], ARGV[1], record, {\n  STATE, 'confirming'",
		"change(KEYS[1], ARGV[1], record, {\n  STATE, 'confirming'",
		scenario{kind: tasks.UnblockPIN, producers: 1, faults: 1, byQueue: true},
	},
	{
		"recovery does not look for a confirmation that was handed over",
		"redis.call('ZADD', KEYS[2], lease, ARGV[1])\nredis.call('HSET', KEYS[5]",
		"redis.call('ZREM', KEYS[2], ARGV[1])\nredis.call('HSET', KEYS[5]",
		scenario{kind: tasks.UnblockPIN, producers: 1, faults: 1},
	},
	{
		"a late handover may write", "if not owns(record, ARGV[2]) then return {'stale', now} end\nlocal seq = tostring(record[SEQ] + 1)\nif ARGV[1]",
		"local seq = tostring(record[SEQ] + 1)\nif ARGV[1]",
		scenario{kind: tasks.UnblockPIN, producers: 1, faults: 2, only: []fate{stalls}},
	},
	{
		"a second request does not join", "if open and not can_only_expire(open, now) then", "if false then",
		scenario{kind: tasks.UnblockPIN, producers: 2, faults: 0},
	},
	{
		"a request joins what can only expire", "if open and not can_only_expire(open, now) then", "if open then",
		scenario{kind: tasks.UnblockPIN, producers: 2, faults: 1, lifetime: time.Second, apart: 1200 * time.Millisecond, byQueue: true},
	},
	{
		"recovery does not look for what a look has begun", "redis.call('ZADD', ours .. 'leased', lease, id)", "",
		scenario{kind: tasks.UnblockPIN, producers: 1, faults: 1},
	},
	{
		"what may have been sent is taken for expired", "now >= lease and (record[CALL] or '') == ''", "now >= lease",
		scenario{kind: tasks.UnblockPIN, producers: 2, faults: 1, lifetime: time.Second, apart: 3100 * time.Millisecond, byQueue: true},
	},
	{
		"the end leaves the card locked", "if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end", "",
		scenario{kind: tasks.UnblockPIN, producers: 1, faults: 0},
	},
}

func TestModel_FindsADefectThatIsPutIn(t *testing.T) {
	t.Parallel()
	sources := scriptSources(t)
	for _, d := range defects {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(sources, d.old) {
				t.Fatalf("no script holds %q any more", d.old)
			}
			sc := d.scenario
			sc.rewrite = strings.NewReplacer(d.old, d.new)
			e := explorer{scenario: sc, every: 1, cover: func(tasks.Transition) {}}
			e.explore(t)
			if e.broken == nil {
				t.Fatalf("%d schedules did not find it", e.played)
			}
			what, _, _ := strings.Cut(e.broken[0], "\n")
			t.Logf("found by schedule %d: %s", e.played, what)
		})
	}
}

func scriptSources(t testing.TB) string {
	t.Helper()
	files, err := filepath.Glob("../internal/opstore/scripts/*.lua")
	if err != nil || len(files) == 0 {
		t.Fatalf("the scripts: %v, %v", files, err)
	}
	var b strings.Builder
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s\n", text)
	}
	return b.String()
}
