package redistest

import (
	"context"
	_ "embed"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// clockSource is the library that moves a server's time of day. Debian's libfaketime cannot: it asks for
// memory while the allocator of redis-server asks for the time, and the server does not start.
//
//go:embed clock/clock.c
var clockSource []byte

// compileTimeout bounds the compiler, on a machine that is busy with others.
const compileTimeout = time.Minute

// Clock is the time of day of one server, which can be set.
type Clock struct{ file string }

// StartWithClock is Start for a server whose time of day is not this machine's but offset from it. It needs
// a C compiler, as the race detector does, and fails the test where there is none.
func StartWithClock(t testing.TB, offset time.Duration, args ...string) (*Server, *Clock) {
	t.Helper()
	dir := t.TempDir()
	c := &Clock{filepath.Join(dir, "offset")}
	c.Set(t, offset)
	library, source := filepath.Join(dir, "clock.so"), filepath.Join(dir, "clock.c")
	if err := os.WriteFile(source, clockSource, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), compileTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, "cc", "-shared", "-fPIC", "-O2", "-o", library, source).CombinedOutput()
	if err != nil {
		t.Fatalf("compile the clock of redis-server, for which a C compiler has to be installed: %v\n%s", err, out)
	}
	env := []string{"LD_PRELOAD=" + library, "CLOCK_OFFSET_FILE=" + c.file}
	return begin(t, &Server{Password: valueOf(args, "--requirepass"), env: env}, args), c
}

// Set makes the server's clock go ahead of this machine's by offset, or behind it when that is negative.
// The server sees it at once.
func (c *Clock) Set(t testing.TB, offset time.Duration) {
	t.Helper()
	var b [8]byte
	binary.NativeEndian.PutUint64(b[:], uint64(offset.Microseconds()))
	f, err := os.OpenFile(c.file, os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteAt(b[:], 0) // In place: the server has the file mapped.
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
	}
	if err != nil {
		t.Errorf("set the clock of redis-server: %v", err)
	}
}
