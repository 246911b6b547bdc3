package deploytest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// runDeps runs scripts/deps.sh on a system where only the given programs exist.
func runDeps(t testing.TB, programs ...string) (output string, err error) {
	t.Helper()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal(err)
	}
	path := t.TempDir()
	for _, name := range programs {
		if err := os.WriteFile(filepath.Join(path, name), []byte("#!/bin/sh\nexit 1\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), bash, filepath.Join(root, "scripts/deps.sh"))
	cmd.Env = []string{"PATH=" + path}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestDeps_NothingMissingIsSilent(t *testing.T) {
	t.Parallel()
	for _, browser := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if out, err := runDeps(t, "redis-server", "cc", browser); err != nil || out != "" {
			t.Errorf("with redis-server, cc and %s: %v, %q, want success and silence", browser, err, out)
		}
	}
}

func TestDeps_ImpossibleIsOneSentence(t *testing.T) {
	t.Parallel()
	out, err := runDeps(t, "chromium", "cc")
	const want = "make deps: missing redis-server: this system has no apt-get"
	if err == nil || !strings.HasPrefix(out, want) || strings.Count(out, "\n") != 1 {
		t.Errorf("without redis-server and apt-get: %v, %q, want failure and one line that begins with %q", err, out, want)
	}
}

func TestDeps_ACompilerIsMissedToo(t *testing.T) {
	t.Parallel()
	out, err := runDeps(t, "chromium", "redis-server")
	if want := "make deps: missing gcc libc6-dev: "; err == nil || !strings.HasPrefix(out, want) {
		t.Errorf("without a C compiler: %v, %q, want failure that begins with %q", err, out, want)
	}
}
