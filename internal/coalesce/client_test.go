package coalesce

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/redistest"
)

const (
	echo  = "return ARGV[1]"
	count = "return redis.call('INCR', KEYS[1])"
)

// grounded returns a client whose flights are all up and wait for the gate, with what their calls return.
func grounded(t *testing.T, rdb redis.UniversalClient) (redis.UniversalClient, *tower, <-chan error) {
	t.Helper()
	w := watch(rdb, make(chan struct{}))
	c := New(rdb)
	done := make(chan error, flights)
	for range flights {
		go func() { done <- c.Eval(context.Background(), echo, nil, "first").Err() }()
		receive(t, "a flight is up", w.off)
	}
	return c, w, done
}

// land lets all that is up and comes up end.
func (w *tower) land() { close(w.gate) }

func TestEval_ALoneCallIsSentAtOnceAndAlone(t *testing.T) {
	t.Parallel()
	rdb, _ := redistest.Shared(t)
	w := watch(rdb, nil)
	c := New(rdb)
	for i := range 5 {
		if got, err := c.Eval(t.Context(), echo, nil, i).Text(); err != nil || got != fmt.Sprint(i) {
			t.Errorf("Eval = %q, %v; want %d", got, err, i)
		}
	}
	if trips, _ := w.seen(); !slices.Equal(trips, []int{1, 1, 1, 1, 1}) {
		t.Errorf("the round trips had %v commands, want five of one", trips)
	}
}

func TestEval_CallsThatComeWhileTheFlightsAreUpShareARoundTrip(t *testing.T) {
	t.Parallel()
	rdb, _ := redistest.Shared(t)
	c, w, first := grounded(t, rdb)
	const n = 10
	var callers sync.WaitGroup
	for i := range n {
		callers.Go(func() {
			if got, err := c.Eval(t.Context(), echo, nil, i).Text(); err != nil || got != fmt.Sprint(i) {
				t.Errorf("Eval = %q, %v; want %d", got, err, i)
			}
		})
	}
	await(t, c, n)
	w.land()
	callers.Wait()
	for range flights {
		if err := receive(t, "a first call is answered", first); err != nil {
			t.Errorf("a first call: %v", err)
		}
	}
	if trips, _ := w.seen(); !slices.Equal(trips, []int{1, 1, n}) {
		t.Errorf("the round trips had %v commands, want 1, 1 and %d", trips, n)
	}
}

func TestEval_EachCallHasItsOwnReplyOrError(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	rdb := server.Client(t)
	known := rdb.ScriptLoad(t.Context(), echo).Val()
	c, w, _ := grounded(t, rdb)
	for i, call := range []struct {
		do   func() *redis.Cmd
		want any
		err  string
	}{
		{func() *redis.Cmd { return c.EvalSha(t.Context(), strings.Repeat("0", 40), nil) }, nil, "NOSCRIPT"},
		{func() *redis.Cmd { return c.EvalSha(t.Context(), known, nil, "a") }, "a", ""},
		{func() *redis.Cmd { return c.Eval(t.Context(), "return redis.error_reply('MINE is wrong')", nil) }, nil, "MINE"},
		{func() *redis.Cmd { return c.Eval(t.Context(), "return redis.call('LPUSH')", nil) }, nil, "ERR"},
		{func() *redis.Cmd { return c.Eval(t.Context(), "return", nil) }, nil, string(redis.Nil)},
		{func() *redis.Cmd { return c.Eval(t.Context(), "return {KEYS[1], ARGV[2]}", []string{"k"}, 1, "b") }, "[k b]", ""},
		{func() *redis.Cmd { return c.EvalSha(t.Context(), known, nil, "d") }, "d", ""},
	} {
		go func() {
			got, err := call.do().Result()
			switch {
			case call.err != "" && (err == nil || !strings.HasPrefix(err.Error(), call.err)):
				t.Errorf("call %d = %v, %v; want the error %s", i, got, err, call.err)
			case call.err == "" && (err != nil || fmt.Sprint(got) != call.want):
				t.Errorf("call %d = %v, %v; want %v", i, got, err, call.want)
			case call.err == "NOSCRIPT" && !errors.Is(err, redis.ErrNoScript):
				t.Errorf("call %d = %v, want the one that a plain client returns", i, err)
			}
			w.off <- -1
		}()
		await(t, c, i+1)
	}
	w.land()
	for done := 0; done < 7; {
		if receive(t, "a call is answered", w.off) == -1 {
			done++
		}
	}
}

func TestEval_AListAloneIsTakenForTheArguments(t *testing.T) {
	t.Parallel()
	rdb, _ := redistest.Shared(t)
	if got, err := New(rdb).Eval(t.Context(), "return ARGV[2]", nil, []string{"1", "c"}).Text(); err != nil || got != "c" {
		t.Errorf("Eval = %q, %v; want c", got, err)
	}
}

func TestSend_TheCommandsOfACallStayTogether(t *testing.T) {
	t.Parallel()
	rdb, _ := redistest.Shared(t)
	c, w, _ := grounded(t, rdb)
	const n = 20
	var callers sync.WaitGroup
	for range n {
		callers.Go(func() {
			set := redis.NewIntCmd(t.Context(), "incr", "n")
			get := redis.NewStringCmd(t.Context(), "get", "n")
			if err := Send(t.Context(), c, "n", set, get); err != nil || fmt.Sprint(set.Val()) != get.Val() {
				t.Errorf("Send = %v, INCR %d, GET %s; want the same from both", err, set.Val(), get.Val())
			}
		})
	}
	await(t, c, n)
	w.land()
	callers.Wait()
}

func TestEval_ScriptsAreTaughtAsEver(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	c := New(server.Client(t))
	script := redis.NewScript(echo)
	var callers sync.WaitGroup
	for i := range 200 {
		callers.Go(func() {
			if got, err := script.Run(t.Context(), c, nil, i).Text(); err != nil || got != fmt.Sprint(i) {
				t.Errorf("Run = %q, %v; want %d", got, err, i)
			}
		})
	}
	callers.Wait()
}

func TestEval_ACallerWhoseContextEndsLeavesAtOnceAndItsCallIsNotSent(t *testing.T) {
	t.Parallel()
	rdb, _ := redistest.Shared(t)
	c, w, _ := grounded(t, rdb)
	ctx, cancel := context.WithCancel(t.Context())
	timed, cancelTimed := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancelTimed()
	left := make(chan error, 2)
	go func() { left <- c.Eval(ctx, count, []string{"n"}).Err() }()
	await(t, c, 1)
	cancel()
	if err := receive(t, "the caller leaves", left); !errors.Is(err, context.Canceled) {
		t.Errorf("Eval = %v, want %v", err, context.Canceled)
	}
	go func() { left <- c.Eval(timed, count, []string{"n"}).Err() }()
	if err := receive(t, "the caller leaves", left); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Eval = %v, want %v", err, context.DeadlineExceeded)
	}
	if err := c.Eval(ctx, count, []string{"n"}).Err(); !errors.Is(err, context.Canceled) {
		t.Errorf("Eval with an ended context = %v, want %v", err, context.Canceled)
	}
	stayed := make(chan string, 1)
	go func() { stayed <- c.Eval(t.Context(), echo, nil, "mine").Val().(string) }()
	await(t, c, 4)
	w.land()
	if got := receive(t, "who stays is answered", stayed); got != "mine" {
		t.Errorf("who stayed got %q, want mine", got)
	}
	if n, err := rdb.Exists(t.Context(), "n").Result(); err != nil || n != 0 {
		t.Errorf("a call was sent whose caller had left (%v)", err)
	}
}

// A flight may wait for a connection, and go-redis repeats it. That is when its callers leave.
func TestEval_ACallIsNotSentWhoseCallerLeftWhileTheFlightWaited(t *testing.T) {
	t.Parallel()
	rdb, _ := redistest.Shared(t)
	c, w, first := grounded(t, rdb)
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error, 2)
	go func() { left <- c.Eval(ctx, count, []string{"n"}).Err() }()
	go func() {
		left <- Send(ctx, c, "n", redis.NewIntCmd(ctx, "incr", "n"), redis.NewStringSliceCmd(ctx, "mget", "n"))
	}()
	await(t, c, 2)
	stayed := make(chan string, 1)
	go func() { stayed <- c.Eval(t.Context(), echo, nil, "mine").Val().(string) }()
	await(t, c, 3)
	w.gate <- struct{}{}
	if err := receive(t, "a first call is answered", first); err != nil {
		t.Fatalf("a first call: %v", err)
	}
	if n := receive(t, "their flight is up", w.off); n != 4 {
		t.Fatalf("the flight has %d commands, want 4", n)
	}
	cancel()
	for range 2 {
		if err := receive(t, "a caller leaves", left); !errors.Is(err, context.Canceled) {
			t.Errorf("a caller who left got %v, want %v", err, context.Canceled)
		}
	}
	w.land()
	if got := receive(t, "who stays is answered", stayed); got != "mine" {
		t.Errorf("who stayed got %q, want mine", got)
	}
	if n, err := rdb.Exists(t.Context(), "n").Result(); err != nil || n != 0 {
		t.Errorf("a call was sent after its caller had left (%v)", err)
	}
}

func TestEval_ARoundTripAndTheAirHaveRoomForSoMany(t *testing.T) {
	t.Parallel()
	rdb, _ := redistest.Shared(t)
	c, w, _ := grounded(t, rdb)
	const n = 5*most + 3
	var callers sync.WaitGroup
	for range n {
		callers.Go(func() {
			if err := c.Eval(t.Context(), count, []string{"n"}).Err(); err != nil {
				t.Errorf("Eval: %v", err)
			}
		})
	}
	await(t, c, n)
	w.land()
	callers.Wait()
	trips, peak := w.seen()
	if len(trips) != flights+6 || slices.Max(trips) != most || peak > flights {
		t.Errorf("the round trips had %v commands, %d at once; want at most %d, %d at once", trips, peak, most, flights)
	}
	if got, err := rdb.Get(t.Context(), "n").Int(); err != nil || got != n {
		t.Errorf("the script ran %d times, %v; want %d", got, err, n)
	}
}

func TestEval_AThousandCallersGetEachTheirOwn(t *testing.T) {
	t.Parallel()
	for name, rdb := range map[string]func(testing.TB) redis.UniversalClient{
		"redis-server": func(t testing.TB) redis.UniversalClient { c, _ := redistest.Shared(t); return c },
		"embedded":     func(t testing.TB) redis.UniversalClient { c, _ := redistest.Embedded(t); return c },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rdb := rdb(t)
			w := watch(rdb, nil)
			c := New(rdb)
			var callers sync.WaitGroup
			for i := range 1000 {
				callers.Go(func() {
					for j := range 5 {
						want := fmt.Sprint(i, "/", j)
						if got, err := c.Eval(t.Context(), echo, nil, want).Text(); err != nil || got != want {
							t.Errorf("Eval = %q, %v; want %s", got, err, want)
						}
					}
				})
			}
			callers.Wait()
			trips, peak := w.seen()
			t.Logf("5000 calls took %d round trips", len(trips))
			if peak > flights || slices.Max(trips) > most || len(trips) > 2500 {
				t.Errorf("%d round trips of up to %d calls, %d at once; want fewer than 2500 of %d, %d at once",
					len(trips), slices.Max(trips), peak, most, flights)
			}
		})
	}
}

func TestClient_OnAClusterOneNodeHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 3)
	rdb := cluster.Client(t)
	c := New(rdb)
	if got, ok := Cluster(c); !ok || got != rdb {
		t.Fatalf("Cluster(New(cluster)) = %v, %v, want the cluster client", got, ok)
	}
	script := redis.NewScript("return redis.call('INCR', KEYS[1])")
	var callers sync.WaitGroup
	for i := range 1000 {
		callers.Go(func() {
			key := fmt.Sprintf("{tag%d}:%d", i%16, i)
			if n, err := script.Run(t.Context(), c, []string{key}).Int(); err != nil || n != 1 {
				t.Errorf("call %d = %d, %v, want 1", i, n, err)
			}
		})
	}
	callers.Wait()
	// All places of a lane are taken by calls that do not come back; the others do not notice.
	stuck := c.(*client).lane("{tag0}")
	stuck.mu.Lock()
	stuck.flying = flights
	stuck.mu.Unlock()
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { left <- script.Run(ctx, c, []string{"{tag0}:0"}).Err() }()
	for i := 1; i < 16; i++ {
		if err := script.Run(t.Context(), c, []string{fmt.Sprintf("{tag%d}:0", i)}).Err(); err != nil {
			t.Errorf("a call for tag %d: %v", i, err)
		}
	}
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the call that waits ends with %v, want %v", err, context.Canceled)
	}
	if l := c.(*client).lane("no tag"); l != nil {
		t.Error("a key without a tag has a lane")
	}
}
