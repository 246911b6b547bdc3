package main

import (
	"encoding/json"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/cardworker/cardworker/internal/bench"
)

func TestBench_RefusesWhatItCannotMeasure(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"--only", "speed"}, "some of trips, drain, latency"},
		{[]string{"--only", "drain", "--out", "docs"}, "leave --only away"},
		{[]string{"--output", "yaml"}, "text or json"},
		{[]string{"drain"}, "no arguments expected"},
	} {
		r := cli(t, nil, append([]string{"bench"}, tc.args...)...)
		if r.code != exitRefused || !strings.Contains(r.stderr, tc.want) || r.stdout != "" {
			t.Errorf("bench %v: %s\nwant exit code %d and %q", tc.args, r, exitRefused, tc.want)
		}
	}
}

func TestBench_APartSaysWhereItListensAndEndsWithItsInput(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"api", "1ms"}, {"relay", "127.0.0.1:1", "1ms"}} {
		r := cli(t, nil, append([]string{"bench", "part"}, args...)...)
		if r.code != exitOK {
			t.Fatalf("bench part %v: %s", args, r)
		}
		if _, _, err := net.SplitHostPort(one(t, "stdout", r.stdout)); err != nil {
			t.Errorf("bench part %v wrote %q, want an address: %v", args, r.stdout, err)
		}
	}
	if r := cli(t, nil, "bench", "part", "wheel"); r.code != exitError {
		t.Errorf("bench part wheel: %s\nwant exit code %d", r, exitError)
	}
}

func TestBench_MeasuresAFileOfRefreshes(t *testing.T) {
	t.Parallel()
	p := startProcess(t, os.Environ(), "bench", "--only", "bulk", "--quick", "-o", "json")
	if status := p.wait(t); status.ExitStatus() != exitOK {
		t.Fatalf("exit code %d: %s", status.ExitStatus(), p.stderr)
	}
	var report bench.Report
	if err := json.Unmarshal([]byte(p.stdout.String()), &report); err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for _, s := range report.Series {
		if s.Measure == "bulk" && len(s.Values) == 1 && s.Values[0] > 0 {
			found[s.Figure]++
		}
	}
	for _, figure := range []string{"accepted/s", "producer µs", "Redis µs"} {
		if found[figure] != 2 {
			t.Errorf("%s was measured %d times, want it of both programs", figure, found[figure])
		}
	}
}
