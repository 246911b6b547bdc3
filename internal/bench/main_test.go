package bench

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/cardworker/cardworker/internal/redisconn"
	"github.com/cardworker/cardworker/internal/redistest"
)

// partVariable makes the test binary a part of a run, as the hidden command makes the program one.
const partVariable = "CARDWORKER_BENCH_PART"

func TestMain(m *testing.M) {
	redisconn.SetLogger(nil)
	if os.Getenv(partVariable) != "" {
		if err := RunPart(context.Background(), os.Args[1:], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if err := os.Setenv(partVariable, "1"); err != nil { // for the children
		panic(err)
	}
	redistest.Main(m)
}

// tiny is a run of seconds.
var tiny = size{
	calibrate: 50, most: 50, drain: time.Millisecond, aofs: []string{"off"},
	idleOurs: 5, idleStock: 1, rates: []int{100}, loop: 200 * time.Millisecond,
	idle: 500 * time.Millisecond, backlog: 100, urgentRate: 50, urgent: 200 * time.Millisecond, trips: 20,
	distant: time.Millisecond,
}

// tinyRun takes measures for a moment.
func tinyRun(t testing.TB, only ...string) *Report {
	t.Helper()
	r, err := Run(t.Context(), Config{Runs: 1, Only: only, Part: []string{os.Args[0]}, Progress: t.Output(), size: tiny})
	if err != nil {
		t.Fatalf("Run: %v", err)
	}
	return r
}

// tinyBench returns a bench with a Redis, to call its parts.
func tinyBench(t testing.TB) *bench {
	t.Helper()
	b := newBench(Config{Part: []string{os.Args[0]}, Progress: t.Output(), size: tiny})
	if err := b.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.stop(); err != nil {
			t.Error(err)
		}
	})
	return b
}
