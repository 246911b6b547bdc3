package redistest_test

import (
	"fmt"
	"runtime"
	"testing"
)

// fatal is a testing.TB that keeps what Fatalf says instead of failing the test.
type fatal struct {
	testing.TB
	message string
}

func (f *fatal) Fatalf(format string, args ...any) {
	f.message = fmt.Sprintf(format, args...)
	runtime.Goexit()
}
