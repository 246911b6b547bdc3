package redistest

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// LeakPatience is how long a goroutine may live on after the tests. A go-redis client that lost its server asks for
// it in the background, and notices that it was closed when the dial has failed and a second has passed.
const LeakPatience = 10 * time.Second

// Main is a TestMain: it runs the tests, then cleanup in order, and exits. It fails a package whose tests left a
// goroutine behind.
func Main(m *testing.M, cleanup ...func()) {
	code := m.Run()
	for _, f := range cleanup {
		f()
	}
	if code == 0 {
		if err := Leaked(LeakPatience); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// Leaked returns an error that names the goroutines that are left, or nil as soon as there are none. It looks for
// half a second, and again for as long as its patience lasts.
func Leaked(patience time.Duration, options ...goleak.Option) error {
	deadline := time.Now().Add(patience)
	for {
		err := goleak.Find(options...)
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}
