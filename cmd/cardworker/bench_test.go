package main

import (
	"net"
	"strings"
	"testing"
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
