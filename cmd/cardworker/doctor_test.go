package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/internal/sandbox"
	"github.com/cardworker/cardworker/tasks"
)

// found returns what the doctor said, after making sure that the exit code fits it.
func found(t testing.TB, got result) []finding {
	t.Helper()
	var all []finding
	failures := 0
	for line := range strings.Lines(got.stdout) {
		var f finding
		if err := json.Unmarshal([]byte(line), &f); err != nil || f.About == "" || f.Text == "" {
			t.Fatalf("%q is no finding: %v", line, err)
		}
		if f.Verdict == broken {
			failures++
		}
		all = append(all, f)
	}
	switch {
	case failures == 0 && (got.code != exitOK || got.stderr != ""):
		t.Errorf("nothing has failed, so the exit code should be 0 and stderr empty: %s", got)
	case failures > 0 && (got.code != exitError || !strings.Contains(got.stderr, "the doctor found "+counted(failures, "failure"))):
		t.Errorf("%d things have failed, so the exit code should be 1 and stderr say so: %s", failures, got)
	}
	return all
}

// saysOf returns the texts of a verdict on something.
func saysOf(all []finding, about string, v verdict) string {
	var texts []string
	for _, f := range all {
		if f.About == about && f.Verdict == v {
			texts = append(texts, f.Text)
		}
	}
	return strings.Join(texts, "\n")
}

func TestDoctor_OfWhatIsWell(t *testing.T) {
	t.Parallel()
	_, environ := startSandbox(t, sandbox.Config{})
	server := redistest.Start(t, "--appendonly", "yes")
	environ = append(environ, "REDIS_URL="+server.URL())

	alone := found(t, cli(t, environ, "doctor", "-o", "json"))
	for _, f := range alone {
		if want := map[bool]verdict{true: warning, false: fine}[f.About == aboutWorkers]; f.Verdict != want {
			t.Errorf("without a worker: %+v, want %s", f, want)
		}
	}
	if got := saysOf(alone, aboutWorkers, warning); !strings.Contains(got, "no worker runs, and 0 tasks wait: start cardworker worker") {
		t.Errorf("without a worker the doctor says %q", got)
	}

	startWorker(t, environ)
	var well []finding
	for deadline := time.Now().Add(patience); saysOf(well, aboutWorkers, fine) == ""; {
		if well = found(t, cli(t, environ, "doctor", "-o", "json")); time.Now().After(deadline) {
			t.Fatalf("after %s the doctor sees no worker: %v", patience, well)
		}
	}
	for _, f := range well {
		if f.Verdict != fine {
			t.Errorf("with a worker: %+v, want it well", f)
		}
		if f.About == aboutWorkers && f.Text != "running: 1 worker; 0 tasks wait" {
			t.Errorf("with a worker the doctor says %q", f.Text)
		}
	}
	text := cli(t, environ, "doctor")
	expect(t, text, exitOK)
	for _, want := range []string{
		"ok       configuration  all variables are in order", "ok       redis          redis://" + server.Addr + "/0 answers in ",
		"ok       workers        running: 1 worker", "ok       payblr         PAYBLR_TOKEN_URL gives access tokens",
		"ok       payblr         something answers at PAYBLR_BASE_URL",
	} {
		if !strings.Contains("\n"+text.stdout, "\n"+want) {
			t.Errorf("no line begins with %q: %s", want, text)
		}
	}
}

func TestDoctor_SaysWhatToChange(t *testing.T) {
	t.Parallel()
	_, environ := startSandbox(t, sandbox.Config{})
	const canary = "canary7f3a"
	durable := redistest.Start(t, "--appendonly", "yes").URL()
	evicting := redistest.Start(t, "--appendonly", "yes", "--maxmemory-policy", "allkeys-lru").URL()
	forgetful := redistest.Start(t).URL()
	for name, tc := range map[string]struct {
		environ []string
		args    string
		about   string
		verdict verdict
		want    []string
	}{
		"a variable":         {[]string{"UNBLOCK_LIMIT=-1"}, "", aboutConfiguration, broken, []string{"UNBLOCK_LIMIT must be"}},
		"several":            {[]string{"LOG_LEVEL=loud", "MONITOR_HTTP_ADDR=0.0.0.0:8081", "MONITOR_USER=a:b", "WORKER_HTTP_ADDR=on"}, "", aboutConfiguration, broken, []string{"LOG_LEVEL must", "MONITOR_HTTP_ADDR can be reached from other machines", "MONITOR_USER has", "WORKER_HTTP_ADDR must"}},
		"no credentials":     {[]string{"PAYBLR_CLIENT_SECRET="}, "", aboutConfiguration, broken, []string{"PAYBLR_CLIENT_SECRET is not set"}},
		"nobody listens":     {[]string{"REDIS_URL=redis://:" + canary + "@" + unusedAddr(t)}, "redis", aboutRedis, broken, []string{"connection refused: start Redis there"}},
		"for the workers":    {[]string{"REDIS_URL=redis://:" + canary + "@" + unusedAddr(t)}, "workers", aboutRedis, broken, []string{"connection refused: start Redis there"}},
		"evicting":           {[]string{"REDIS_URL=" + evicting}, "redis", aboutRedis, broken, []string{"maxmemory-policy: allkeys-lru deletes accepted operations", "set noeviction"}},
		"no AOF":             {[]string{"REDIS_URL=" + forgetful}, "redis", aboutRedis, warning, []string{"appendonly: no loses accepted operations when Redis restarts: set appendonly yes"}},
		"embedded":           {[]string{"REDIS_URL=embedded"}, "redis", aboutRedis, warning, []string{"each process has a Redis of its own"}},
		"a wrong secret":     {[]string{"PAYBLR_CLIENT_SECRET=" + canary}, "payblr", aboutPayblr, broken, []string{"no access token (PAYBLR_CLIENT_ID, PAYBLR_CLIENT_SECRET, PAYBLR_SCOPE)"}},
		"no token endpoint":  {[]string{"PAYBLR_TOKEN_URL=http://" + unusedAddr(t) + "/token"}, "payblr", aboutPayblr, broken, []string{"no access token (PAYBLR_TOKEN_URL)"}},
		"no API":             {[]string{"PAYBLR_BASE_URL=http://" + unusedAddr(t)}, "payblr", aboutPayblr, broken, []string{"the API cannot be reached (PAYBLR_BASE_URL)"}},
		"no API, but tokens": {[]string{"PAYBLR_BASE_URL=http://" + unusedAddr(t)}, "payblr", aboutPayblr, fine, []string{"gives access tokens"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := cli(t, append(append(environ, "REDIS_URL="+durable), tc.environ...), append(strings.Fields("doctor -o json"), strings.Fields(tc.args)...)...)
			clean(t, "what the doctor says", got.stdout+got.stderr, canary, sandbox.DefaultClientSecret)
			said := saysOf(found(t, got), tc.about, tc.verdict)
			for _, want := range tc.want {
				if !strings.Contains(said, want) {
					t.Errorf("of %s it says %q as %s, want %q", tc.about, said, tc.verdict, want)
				}
			}
		})
	}
}

// A backend has no credentials of the API, and must not be told to get some.
func TestDoctor_LooksOnlyAtWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	_, redisURL := redistest.Shared(t)
	for _, about := range []string{aboutRedis, aboutWorkers} {
		for _, f := range found(t, cli(t, []string{"REDIS_URL=" + redisURL}, "doctor", about, "-o", "json")) {
			if f.About != about && f.About != aboutConfiguration || f.Verdict == broken {
				t.Errorf("doctor %s says %+v", about, f)
			}
		}
	}
	const pan = "4111111111111111"
	got := cli(t, nil, "doctor", pan)
	expect(t, got, exitRefused, "name some of redis, payblr, workers")
	clean(t, "the refusal", got.stderr, pan)
}

func TestDoctor_SeesQueuesThatDoNotRun(t *testing.T) {
	t.Parallel()
	rdb, redisURL := redistest.Shared(t)
	environ := []string{"REDIS_URL=" + redisURL}
	expect(t, cli(t, environ, "unblock", "pin", cardBlocked), exitOK)
	inspector := asynq.NewInspectorFromRedisClient(rdb)
	if err := inspector.PauseQueue(tasks.QueueUnblock); err != nil {
		t.Fatalf("pause the queue: %v", err)
	}
	waiting, err := inspector.ListPendingTasks(tasks.QueueUnblock)
	if err != nil || len(waiting) != 1 {
		t.Fatalf("pending tasks: %d, %v; want 1", len(waiting), err)
	}
	said := saysOf(found(t, cli(t, environ, "doctor", "workers", "-o", "json")), aboutWorkers, warning)
	for _, want := range []string{"the queue unblock is paused", "no worker runs, and 1 task waits"} {
		if !strings.Contains(said, want) {
			t.Errorf("it warns of %q, want %q too", said, want)
		}
	}
	if err := inspector.ArchiveTask(tasks.QueueUnblock, waiting[0].ID); err != nil {
		t.Fatalf("archive the task: %v", err)
	}
	said = saysOf(found(t, cli(t, environ, "doctor", "workers", "-o", "json")), aboutWorkers, warning)
	for _, want := range []string{"in the archive of the queue unblock: 1 task that nothing works on", "0 tasks wait"} {
		if !strings.Contains(said, want) {
			t.Errorf("it warns of %q, want %q too", said, want)
		}
	}
}

func TestDoctor_AUserOfRedisWhoMayNotLook(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	if err := server.Client(t).Do(t.Context(), "ACL", "SETUSER", "backend", "on", ">canary7f3a", "~cardworker:*", "+@all").Err(); err != nil {
		t.Fatalf("make the user: %v", err)
	}
	got := cli(t, []string{"REDIS_URL=redis://backend:canary7f3a@" + server.Addr + "/0"}, "doctor", "workers", "-o", "json")
	clean(t, "what the doctor says", got.stdout, "canary7f3a")
	if said := saysOf(found(t, got), aboutWorkers, warning); !strings.Contains(said, "may not look at asynq's keys") {
		t.Errorf("it warns of %q", said)
	}
}
