package opstore

import (
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cardworker/cardworker/tasks"
)

var (
	returned  = regexp.MustCompile(`return \{'(\w+)'`)
	mentioned = regexp.MustCompile(`\{'(\w+)'|^--   (\w+) {2,}\S`)
)

// outcomes returns the outcomes that a script returns, itself or by a function of the prelude that it ends with, and those
// that its head promises.
func outcomes(name string) (returns, promises []string) {
	text := source(name)
	for _, f := range functionsOf(source("prelude")) {
		if strings.Contains(text, "\nreturn "+nameOf(f)+"(") {
			text += f
		}
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "--") {
			for _, m := range mentioned.FindAllStringSubmatch(line, -1) {
				promises = append(promises, m[1]+m[2])
			}
			continue
		}
		for _, m := range returned.FindAllStringSubmatch(line, -1) {
			returns = append(returns, m[1])
		}
	}
	return returns, promises
}

func TestScripts_HeadsNameKeysArgumentsAndEveryOutcome(t *testing.T) {
	t.Parallel()
	files, err := fs.Glob(scriptFiles, "scripts/*.lua")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d scripts, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(file, "scripts/"), ".lua")
		if name == "prelude" {
			continue
		}
		text := source(name)
		for _, part := range []string{"-- " + name + " ", "-- KEYS  ", "-- ARGV  ", "-- Returns "} {
			if !strings.Contains(text, part) {
				t.Errorf("the head of %s has no %q", name, part)
			}
		}
		returns, promises := outcomes(name)
		for _, o := range returns {
			if !slices.Contains(promises, o) {
				t.Errorf("%s returns %q, which its head does not mention", name, o)
			}
		}
		// Redis 6.2 and the embedded one know no flags, and the time is Redis's own.
		if strings.HasPrefix(text, "#!") || strings.Contains(text, "redis.setresp") {
			t.Errorf("%s uses what not every Redis has", name)
		}
	}
}

// What a script does not use Redis need not make for it; that it has all it uses is shown by running it.
func TestScripts_HaveNothingThatTheyDoNotUse(t *testing.T) {
	t.Parallel()
	all := functionsOf(source("prelude"))
	if len(all) < 10 || nameOf(all[0]) != "now_ms" {
		t.Fatalf("%d functions are shared, want at least 10, now_ms first", len(all))
	}
	for name, want := range map[string][]string{
		"due":   {"now_ms"},
		"chain": {"now_ms", "is_done", "load", "write", "set", "audit", "change", "is_repeat", "owns"},
	} {
		text := textOf(name)
		for _, f := range all {
			if got, want := strings.Contains(text, f), slices.Contains(want, nameOf(f)); got != want {
				t.Errorf("%s has %s: %t, want %t", name, nameOf(f), got, want)
			}
		}
	}
	if text := textOf("due"); strings.Contains(text, "FIELDS") || strings.Contains(text, "STATE") {
		t.Errorf("due declares fields that it does not use:\n%s", text)
	}
}

// scriptsAnswerEveryOutcomeOfTheirHeads runs each script by itself, once for each outcome.
func scriptsAnswerEveryOutcomeOfTheirHeads(t *testing.T, f fixture) {
	for name, cases := range scriptCases {
		_, promises := outcomes(name)
		for _, want := range promises {
			if cases[want] == nil {
				t.Errorf("nothing makes %s answer %q", name, want)
			}
		}
		for want, arrange := range cases {
			rec := f.open(tasks.UnblockPIN)
			keys, args := arrange(t, f, rec)
			rep, err := runScript(t.Context(), f.rdb, script(name), keys, args...)
			if err != nil {
				t.Errorf("%s: %v, want %q", name, err, want)
				continue
			}
			if rep.outcome != want || !near(rep.now, f.now()) {
				t.Errorf("%s answers %q at %s, want %q now", name, rep.outcome, rep.now, want)
			}
		}
	}
	simple := func(name string, want any, keys []string, args ...any) {
		t.Helper()
		got, err := script(name).Run(t.Context(), f.rdb, keys, args...).Result()
		if err != nil || got != want {
			t.Errorf("%s = %v, %v, want %v", name, got, err, want)
		}
	}
	key := idemKey(idemKeyOf(t))
	const one, two, three = "one o", "two t", "three t"
	simple("release", int64(0), []string{key}, one, "n1")
	simple("reserve", one, []string{key}, one, 60_000, "n1")
	simple("reserve", one, []string{key}, one, 60_000, "n1") // The command is repeated: its reply was lost.
	simple("release", int64(0), []string{key}, two, "n1")
	simple("release", int64(0), []string{key}, one, "n2")
	simple("release", int64(1), []string{key}, one, "n1")
	simple("reserve", two, []string{key}, two, 60_000, "n2")
	simple("release", int64(0), []string{key}, one, "n1")
	simple("rebind", int64(1), []string{key}, two, 60_000)
	simple("rebind", int64(0), []string{key}, three, 60_000)
	simple("reserve", two, []string{key}, three, 60_000, "n3")
	simple("reserve", two, []string{key}, three, 60_000, "n3")
	simple("release", int64(0), []string{key}, two, "n2")
	f.rdb.Del(t.Context(), key)
	simple("rebind", int64(1), []string{key}, three, 60_000)
	simple("reserve", three, []string{key}, two, 60_000, "n2")
	simple("release", int64(0), []string{key}, three, "n2")
	if ttl := f.rdb.PTTL(t.Context(), key).Val(); ttl <= 0 || ttl > time.Minute {
		t.Errorf("a binding that was put back stays for %s, want a minute", ttl)
	}

	rec := f.open(tasks.UnblockPIN)
	simple("settle", int64(1), []string{opKey(rec.ID), opKey(rec.ID)}, rec.ID, rec.Seq)
	simple("settle", int64(0), []string{opKey(rec.ID), opKey(rec.ID)}, rec.ID, rec.Seq+1)
	simple("settle", int64(0), []string{opKey(rec.ID), joinedKey(rec.ID)}, rec.ID, rec.Seq)
	held := f.begun(rec, Lease{}, Go).Lease
	got, err := script("extend").Run(t.Context(), f.rdb, []string{leasedKey(tasks.ShardOf(rec.ID)), opKey(rec.ID), opKey(rec.ID)},
		1000, rec.ID, held.Fence, rec.ID, held.Fence+1).Int64Slice()
	if err != nil || !slices.Equal(got, []int64{1, 0}) {
		t.Errorf("extend = %v, %v, want 1 for the holder and 0 for another", got, err)
	}
}
