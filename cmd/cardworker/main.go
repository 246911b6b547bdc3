// Command cardworker has card PINs and CVVs unblocked, confirmed and reported. Run it without arguments
// for help.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/cardworker/cardworker/internal/redisconn"
)

func main() {
	// Before any secret is read. It is no reason to do nothing: what dumps there are is the machine's to say.
	if err := withoutCoreDumps(); err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "cardworker: core dumps could not be turned off, and would hold secrets: %v\n", err)
	}
	redisconn.SetLogger(nil)
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2) // Neither of the two that count is lost, however close they come.
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go obey(signals, cancel)
	os.Exit(run(ctx, program{
		args: os.Args[1:], environ: os.Environ(), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
	}))
}

// obey ends what runs, in good order, at the first signal. At a second one the process dies of it at once,
// as one does that catches no signals.
func obey(signals <-chan os.Signal, cancel context.CancelFunc) {
	<-signals
	cancel()
	second := <-signals
	signal.Reset()
	self, err := os.FindProcess(os.Getpid())
	if err != nil || self.Signal(second) != nil {
		os.Exit(exitError)
	}
}
