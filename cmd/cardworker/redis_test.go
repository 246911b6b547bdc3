package main

import (
	"context"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/redisconn"
	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/tasks"
)

// What every command says of a Redis that cannot be used.
func TestRedis_UnusableIsOneSentenceThatNamesREDIS_URL(t *testing.T) {
	t.Parallel()
	const canary = "canary7f3a"
	secured := redistest.Start(t, "--requirepass", "right")
	for name, tc := range map[string]struct{ url, want string }{
		"nobody listens":      {"redis://:" + canary + "@" + unusedAddr(t) + "/0", "connection refused: start Redis there, or correct the host and port"},
		"wrong password":      {"redis://:" + canary + "@" + secured.Addr + "/0", "Redis refuses the user name or the password: correct them"},
		"wrong user":          {"redis://" + "somebody:" + canary + "@" + secured.Addr + "/0", "Redis refuses the user name or the password: correct them"},
		"no password":         {"redis://" + secured.Addr + "/0", "Redis asks for a password and the URL has none"},
		"no such database":    {"redis://:right@" + secured.Addr + "/99", "Redis has no database of this number: change the one at the end of the URL"},
		"no sentinel":         {"redis-sentinel://:" + canary + "@" + unusedAddr(t) + "/mymaster/0", ": connection refused"},
		"no such scheme":      {"http://user:" + canary + "@127.0.0.1:6379", "it must be"},
		"no port":             {"redis://:" + canary + "@127.0.0.1:port/0", "the host cannot be read"},
		"password not quoted": {"redis://:" + canary + "/" + canary + "@127.0.0.1:6379/0", "write special characters of the password percent-encoded"},
		"unknown option":      {"redis://:" + canary + "@127.0.0.1:6379/0?frob=1", "frob"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, args := range []string{
				"worker", "monitor", "unblock pin 103169946 -o json", "unblock pin 103169946 --idempotency-key k --wait", "refresh cvv 103169946",
				"refresh pin 103169946 200000001 -o json", "operation get " + missingID, "operation watch " + missingID + " -o json",
				"operation retry " + missingID,
			} {
				got := cli(t, append(complete(), "REDIS_URL="+tc.url), strings.Fields(args)...)
				if got.code != exitError || got.stdout != "" {
					t.Errorf("cardworker %s: want exit code 1 and nothing on stdout: %s", args, got)
				}
				line := one(t, "stderr of "+args, got.stderr)
				if !strings.HasPrefix(line, "cardworker: ") || strings.Count(line, "REDIS_URL") != 1 || !strings.Contains(line, tc.want) {
					t.Errorf("cardworker %s: stderr is %q, want one sentence with REDIS_URL and %q", args, line, tc.want)
				}
				clean(t, "stderr", got.stderr, canary, "103169946")
			}
		})
	}
}

func TestRedis_ReadOnlyReplicaIsRefusedAndNothingIsHalfDone(t *testing.T) {
	t.Parallel()
	primary := redistest.Start(t)
	replica := redistest.Start(t, "--replicaof", "127.0.0.1 "+strconv.Itoa(primary.Port()))
	for _, args := range []string{
		"worker", "monitor", "unblock pin 103169946 -o json", "unblock pin 103169946 --idempotency-key k -o json", "refresh cvv 103169946 --wait",
		"refresh pin 103169946 200000001 -o json",
	} {
		got := cli(t, append(complete(), "REDIS_URL="+replica.URL()), strings.Fields(args)...)
		if got.code != exitError || got.stdout != "" {
			t.Errorf("cardworker %s: want exit code 1 and nothing on stdout: %s", args, got)
		}
		if line := lastLine(got.stderr); !strings.Contains(line, "REDIS_URL redis://"+replica.Addr+"/0: ") || !strings.Contains(line, "read-only replica: point the URL at the primary") {
			t.Errorf("cardworker %s: stderr is %q, want REDIS_URL and what to do", args, line)
		}
	}
	if n, err := primary.Client(t).DBSize(t.Context()).Result(); err != nil || n != 0 {
		t.Errorf("the primary has %d keys (%v), want none", n, err)
	}
}

func TestRedis_OutOfMemoryRefusesRequestsWithAHint(t *testing.T) {
	t.Parallel()
	full := redistest.Start(t, "--maxmemory", "1", "--maxmemory-policy", "noeviction")
	for _, args := range []string{
		"unblock pin 103169946 -o json", "unblock pin 103169946 --idempotency-key k -o json", "refresh cvv 103169946 --wait",
		"refresh pin 103169946 200000001 -o json",
	} {
		got := cli(t, append(complete(), "REDIS_URL="+full.URL()), strings.Fields(args)...)
		line := one(t, "stderr of "+args, got.stderr)
		if got.code != exitError || got.stdout != "" || !strings.Contains(line, "queue unavailable: REDIS_URL redis://"+full.Addr) ||
			!strings.Contains(line, "maxmemory and refuses writes: raise it") {
			t.Errorf("cardworker %s: want exit code 1 and a hint: %s", args, got)
		}
	}
	rdb := full.Client(t)
	if n, err := rdb.DBSize(t.Context()).Result(); err != nil || n != 0 {
		t.Errorf("Redis has %d keys (%v), want none", n, err)
	}
	// It heals by itself.
	if err := rdb.ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
		t.Fatalf("raise maxmemory: %v", err)
	}
	expect(t, cli(t, []string{"REDIS_URL=" + full.URL()}, "unblock", "pin", cardBlocked, "-o", "json"), exitOK)
}

func TestRedis_ThatCannotGiveTheDurabilityRefusesRequestsWithAHint(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	for level, want := range map[string]string{"disk": "set appendonly yes", "replica": "see INFO replication"} {
		for _, args := range []string{"unblock pin 103169946 -o json", "unblock cvv 103169946 --idempotency-key k --wait", "refresh pin 103169946 200000001 -o json"} {
			got := cli(t, []string{"REDIS_URL=" + server.URL(), "ACCEPT_DURABILITY=" + level}, strings.Fields(args)...)
			line := one(t, "stderr of "+args, got.stderr)
			if got.code != exitError || got.stdout != "" || !strings.Contains(line, "queue unavailable: ACCEPT_DURABILITY: durability "+level+" cannot be had: ") || !strings.Contains(line, want) {
				t.Errorf("cardworker %s: want exit code 1 and a hint: %s", args, got)
			}
		}
	}
	if n, err := server.Client(t).DBSize(t.Context()).Result(); err != nil || n != 0 {
		t.Errorf("Redis has %d keys (%v), want none", n, err)
	}
	durable := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	expect(t, cli(t, []string{"REDIS_URL=" + durable.URL(), "ACCEPT_DURABILITY=disk"}, "unblock", "pin", cardBlocked, "-o", "json"), exitOK)
}

func TestRedis_EmbeddedIsNoUseToACommandThatEnds(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"unblock pin 103169946", "refresh pin 103169946", "operation get " + missingID} {
		got := cli(t, []string{"REDIS_URL=embedded"}, strings.Fields(args)...)
		if got.code != exitError || got.stdout != "" || !strings.Contains(one(t, "stderr", got.stderr), "REDIS_URL is embedded") {
			t.Errorf("cardworker %s: %s", args, got)
		}
	}
}

// That says nothing of the operations, which may be in the file of a Redis that comes back: they are shown
// as they were last seen. Whether the command learns of it, or waits for a Redis to wake it until its time
// is over, depends on the moment.
func TestRedis_GoneWhileACommandWaits(t *testing.T) {
	t.Parallel()
	for args, waiters := range map[string]int{"unblock pin 103169946": 1, "refresh pin 103169946 200000001": 2} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			ended := make(chan result, 1)
			go func() {
				ended <- cli(t, []string{"REDIS_URL=" + server.URL()}, append(strings.Fields(args), "--wait", "--timeout", "3s", "-o", "json")...)
			}()
			awaitSubscribers(t, server.Client(t), waiters)
			server.Kill()
			got := receive(t, "the end of "+args, ended)
			if got.code == exitWaiting {
				expect(t, got, exitWaiting, "after 3s")
			} else {
				expect(t, got, exitError, "wait for cw", "queue unavailable: REDIS_URL redis://"+server.Addr+"/0: ")
			}
			one(t, "stderr", got.stderr)
			n := 0
			for line := range strings.Lines(got.stdout) {
				if op := operation(t, line); op.State != tasks.Accepted {
					t.Errorf("operation %+v, want it accepted", op)
				}
				n++
			}
			if n != waiters {
				t.Errorf("stdout has %d operations, want %d", n, waiters)
			}
		})
	}
}

// awaitSubscribers asks until that many channels have a subscriber; Redis tells nobody when they do.
func awaitSubscribers(t testing.TB, rdb redis.UniversalClient, n int) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		channels, err := rdb.PubSubChannels(t.Context(), "*").Result()
		if err != nil {
			t.Fatalf("list the channels: %v", err)
		}
		if len(channels) >= n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d channels have a subscriber after %s, want %d", len(channels), patience, n)
		}
	}
}

// unusedAddr returns an address at which nobody listens.
func unusedAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	defer l.Close()
	return l.Addr().String()
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	return lines[len(lines)-1]
}

// countCommands counts commands by their names.
type countCommands struct {
	mu sync.Mutex
	n  map[string]int
}

func (*countCommands) DialHook(next redis.DialHook) redis.DialHook { return next }

func (*countCommands) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (c *countCommands) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.mu.Lock()
		c.n[cmd.Name()]++
		c.mu.Unlock()
		return next(ctx, cmd)
	}
}

func TestRedisWarnings_AreAskedForNowAndThen(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--appendonly", "yes")
	conn, err := redisconn.Open(server.URL(), redisconn.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	count := &countCommands{n: map[string]int{}}
	conn.Client.AddHook(count)
	seldom, always := redisWarnings(conn, time.Hour), redisWarnings(conn, 0)
	for range 10 {
		if got := seldom(t.Context()); len(got) != 0 {
			t.Errorf("warnings %q, want none", got)
		}
	}
	if count.n["info"] != 1 || count.n["ping"] != 1 {
		t.Errorf("ten times it took %v, want one INFO in all", count.n)
	}
	if err := server.Client(t).ConfigSet(t.Context(), "appendonly", "no").Err(); err != nil {
		t.Fatal(err)
	}
	if old, fresh := seldom(t.Context()), always(t.Context()); len(old) != 0 || len(fresh) != 1 {
		t.Errorf("after a change: %q for an hour and %q at once, want none and one", old, fresh)
	}
	// What could not be had is asked for again.
	server.Kill()
	gone := redisWarnings(conn, time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	before := count.n["ping"]
	for range 2 {
		gone(ctx)
	}
	if got := count.n["ping"] - before; got != 2 {
		t.Errorf("without Redis it was asked %d times, want twice", got)
	}
}
