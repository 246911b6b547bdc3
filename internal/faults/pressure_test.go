package faults

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/cardworker/cardworker/internal/audit"
	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/tasks"
)

func TestPoisonedLatency_IsOfUnblocksBeforeAndUnderIt(t *testing.T) {
	t.Parallel()
	r := &run{t: t, poisonBegan: at(1000), result: audit.Run{Finals: map[string]tasks.Operation{
		"before":  {Kind: tasks.UnblockPIN, CreatedAt: at(100), UpdatedAt: at(150)},
		"across":  {Kind: tasks.UnblockPIN, CreatedAt: at(900), UpdatedAt: at(1900)},
		"under":   {Kind: tasks.UnblockCVV, CreatedAt: at(1100), UpdatedAt: at(1400)},
		"long":    {Kind: tasks.UnblockPIN, CreatedAt: at(1000 + int(underPoison.Milliseconds())), UpdatedAt: at(30_000)},
		"refresh": {Kind: tasks.RefreshPINStatus, CreatedAt: at(1100), UpdatedAt: at(9000)},
	}}}
	before, under := r.poisonedLatency()
	if len(before) != 1 || before[0] != 50*time.Millisecond || len(under) != 1 || under[0] != 300*time.Millisecond {
		t.Errorf("poisonedLatency = %v, %v, want 50ms and 300ms", before, under)
	}
	if what := says(t, r, "p99 of unblocks under poison <= 300ms"); what != "" {
		t.Error(what)
	}
	if what := says(t, r, "p99 of unblocks under poison <= 299ms"); what == "" {
		t.Error("300ms were within 299ms")
	}
	if what := says(t, &run{t: t}, "p99 of unblocks under poison <= 300ms"); what == "" {
		t.Error("nothing was wrong without any poison")
	}
}

func TestMemoryOfAWorker_IsReadFromTheProcess(t *testing.T) {
	t.Parallel()
	r := &run{t: t, fleet: &fleet{slots: []*process{{cmd: &exec.Cmd{Process: &os.Process{Pid: os.Getpid()}}}, nil}}}
	n, err := r.residentPeak()
	if err != nil || n < 1<<20 || n > 8<<30 {
		t.Fatalf("residentPeak = %d, %v", n, err)
	}
	if what := says(t, r, fmt.Sprintf("memory of a worker <= %d MB", n>>20+64)); what != "" {
		t.Error(what)
	}
	if what := says(t, r, "memory of a worker <= 1 MB"); what == "" {
		t.Error("a process of a test was within 1 MB")
	}
}

func TestMemoryAbove_LooksAtEverySortWaitingAndDone(t *testing.T) {
	t.Parallel()
	const text = "an operation takes <= 100 bytes of redis"
	for _, tc := range []struct {
		measured []memoryOf
		good     bool
	}{
		{[]memoryOf{{"unblocks", 90, 100, 0}, {"refreshes", 1, 1, 0}}, true},
		{[]memoryOf{{"unblocks", 101, 100, 0}, {"refreshes", 1, 1, 0}}, false},
		{[]memoryOf{{"unblocks", 90, 100, 0}, {"refreshes", 1, 101, 0}}, false},
		{[]memoryOf{{"unblocks", 90, -5, 0}}, false},
		{nil, false},
	} {
		if what := says(t, &run{t: t, memory: redisMemory{measured: tc.measured}}, text); (what == "") != tc.good {
			t.Errorf("of %v: %q", tc.measured, what)
		}
	}
}

func TestBackToBaseline_FindsWhatStays(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	r := &run{t: t, sc: &Scenario{}, backend: &backend{servers: []*redistest.Server{server}}}
	c := r.backend.node(0)
	t.Cleanup(func() { _ = c.Close() })
	r.memory.baseline = r.usedMemory()
	set := func(key string, size int) {
		if err := c.Set(t.Context(), key, make([]byte, size), 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	const text = "redis is back to its baseline within 700ms"
	set("cardworker:{cw01}:audit", 8<<20) // It may stay, and is not counted.
	if what := says(t, r, text); what != "" {
		t.Error(what)
	}
	set("cardworker:{cw01}:op:cw01-X", 10)
	if what := says(t, r, text); what == "" {
		t.Error("nothing was wrong with a record that stayed")
	}
	if err := c.Del(t.Context(), "cardworker:{cw01}:op:cw01-X").Err(); err != nil {
		t.Fatal(err)
	}
	r.memory.baseline -= memorySlack + 1<<20
	if what := says(t, r, text); what == "" {
		t.Error("nothing was wrong with megabytes that nobody knows of")
	}
}
