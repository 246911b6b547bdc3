package faults

import (
	"bytes"
	"os"
	"os/exec"
	"testing"

	"github.com/cardworker/cardworker/internal/failpoint"
)

// traces returns what a binary holds of package failpoint.
func traces(t *testing.T, r release) (found []string) {
	t.Helper()
	path := binaryFor(t, r)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	symbols, err := exec.CommandContext(t.Context(), "go", "tool", "nm", path).Output()
	if err != nil || !bytes.Contains(symbols, []byte(module+"/worker.")) {
		t.Fatalf("the symbols of %s: %v", path, err)
	}
	if bytes.Contains(symbols, []byte(module+"/internal/failpoint.")) {
		found = append(found, "a symbol")
	}
	if bytes.Contains(text, []byte(failpoint.Env)) {
		found = append(found, failpoint.Env)
	}
	for _, p := range failpoint.Points() {
		if bytes.Contains(text, []byte(p)) {
			found = append(found, string(p))
		}
	}
	return found
}

func TestFailpoints_AreNotInWhatUsersRun(t *testing.T) {
	t.Parallel()
	if found := traces(t, thisRelease); len(found) > 0 {
		t.Errorf("the normal build holds %q", found)
	}
	if found, want := traces(t, interruptible), len(failpoint.Points())+2; len(found) != want {
		t.Errorf("the build with the tag %s holds %q, want a symbol, the variable and every point", failpointTag, found)
	}
}
