package main

import (
	"strings"
	"testing"
)

// What it shows is tested where it is made; here, that it needs nothing and ends well.
func TestDemo_NeedsNothingAndSucceeds(t *testing.T) {
	t.Parallel()
	got := cli(t, nil, "demo")
	if got.code != exitOK || !strings.Contains(got.stdout, "succeeded") {
		t.Errorf("demo: %s", got)
	}
	if strings.Contains(got.stdout, "\x1b[") {
		t.Error("the demo writes colours to what is no terminal")
	}
}
