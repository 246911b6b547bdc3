package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const (
	module = "github.com/cardworker/cardworker"
	// failpointTag is the build tag of package failpoint.
	failpointTag = "faultpoints"
)

// release is a binary that workers and producers can be started from.
type release int

const (
	// thisRelease is what users run.
	thisRelease release = iota
	// interruptible is the same with failpoints.
	interruptible
	// nextRelease reads and writes the next version of payloads.
	nextRelease
)

// binaries are where the releases are. Each is built once for all scenarios of a process.
var binaries struct {
	mu   sync.Mutex
	dir  string
	path map[release]string
}

func binaryFor(t testing.TB, r release) string {
	t.Helper()
	binaries.mu.Lock()
	defer binaries.mu.Unlock()
	if path, ok := binaries.path[r]; ok {
		return path
	}
	path, err := build(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func build(ctx context.Context, r release) (path string, err error) {
	if binaries.dir == "" {
		if binaries.dir, err = os.MkdirTemp("", "cardworker-faults-"); err != nil {
			return "", err
		}
		binaries.path = map[release]string{}
	}
	path = filepath.Join(binaries.dir, fmt.Sprintf("cardworker-%d", r))
	args := []string{"build", "-o", path}
	switch r {
	case interruptible:
		args = append(args, "-tags", failpointTag)
	case nextRelease:
		overlay, err := nextVersion(ctx, binaries.dir)
		if err != nil {
			return "", err
		}
		args = append(args, "-overlay", overlay)
	}
	//nolint:gosec // G204: what varies is a file in a directory that was just made.
	out, err := exec.CommandContext(ctx, "go", append(args, module+"/cmd/cardworker")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build cardworker: %w\n%s", err, out)
	}
	binaries.path[r] = path
	return path, nil
}

// nextVersion writes an overlay for the go command in which payloads are of the next version.
func nextVersion(ctx context.Context, dir string) (overlay string, err error) {
	const this, next = "const PayloadVersion = 1\n", "const PayloadVersion = 2\n"
	out, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", module+"/tasks").Output()
	if err != nil {
		return "", fmt.Errorf("find package tasks: %w", err)
	}
	source := filepath.Join(strings.TrimSpace(string(out)), "payload.go")
	text, err := os.ReadFile(source)
	if err != nil {
		return "", err
	}
	if strings.Count(string(text), this) != 1 {
		return "", fmt.Errorf("%s does not say %q: say here what the next version is", source, strings.TrimSpace(this))
	}
	changed := filepath.Join(dir, "payload.go")
	//nolint:gosec // G703: the directory was just made.
	if err := os.WriteFile(changed, []byte(strings.Replace(string(text), this, next, 1)), 0o600); err != nil {
		return "", err
	}
	b, err := json.Marshal(map[string]map[string]string{"Replace": {source: changed}})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, b, 0o600)
}

// RemoveBinaries removes what the scenarios built. It is for the end of a test binary.
func RemoveBinaries() {
	if binaries.dir != "" {
		_ = os.RemoveAll(binaries.dir) // A leftover in the temporary directory harms nobody.
	}
}
