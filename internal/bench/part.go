package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// The parts that run in a process of their own.
const (
	partAPI   = "api"
	partRelay = "relay"
	partBulk  = "bulk"
)

// RunPart is what the processes do that a run starts besides Redis: args is the name of a part with its
// arguments. It writes the part's address to out and ends when in ends, which it does with the process that
// started it; what has no address does its work and ends.
func RunPart(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	if len(args) == 0 {
		return errors.New("bench: no part was named")
	}
	var addr string
	switch {
	case args[0] == partBulk && len(args) == 3:
		return enqueueFile(ctx, args[1], args[2], bufio.NewWriter(out))
	case args[0] == partAPI && len(args) == 2:
		latency, err := time.ParseDuration(args[1])
		if err != nil {
			return fmt.Errorf("bench: %w", err)
		}
		srv, err := serveAPI(ctx, latency)
		if err != nil {
			return fmt.Errorf("bench: serve the API: %w", err)
		}
		defer srv.stop()
		addr = srv.addr
	case args[0] == partRelay && len(args) == 3:
		delay, err := time.ParseDuration(args[2])
		if err != nil {
			return fmt.Errorf("bench: %w", err)
		}
		// The thread that waits must not keep the others from a processor.
		runtime.GOMAXPROCS(runtime.NumCPU() + 2)
		r, err := startRelay(ctx, args[1], delay)
		if err != nil {
			return fmt.Errorf("bench: relay: %w", err)
		}
		defer r.stop()
		addr = r.addr()
	default:
		return errors.New("bench: there is no such part")
	}
	if _, err := fmt.Fprintln(out, addr); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() { _, _ = io.Copy(io.Discard, in); close(ended) }()
	select {
	case <-ended:
	case <-ctx.Done():
	}
	return nil
}

// part is a process that runs a part.
type part struct {
	addr  string
	cmd   *exec.Cmd
	stdin io.Closer
}

// startPart runs command, which has to call RunPart with the arguments that are added to it.
func startPart(ctx context.Context, command []string, args ...string) (*part, error) {
	all := append(append([]string(nil), command...), args...)
	if len(all) == len(args) {
		return nil, errors.New("no command is known that runs a part")
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), all[0], all[1:]...) //nolint:gosec // this very program
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = dieWithParent()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the %s: %w", args[0], err)
	}
	p := &part{cmd: cmd, stdin: stdin}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the %s: it did not say where it listens: %w", args[0], err), p.stop())
	}
	p.addr = strings.TrimSpace(line)
	return p, nil
}

// stop ends the process.
func (p *part) stop() error {
	_ = p.stdin.Close() // It ends with its input.
	return p.cmd.Wait()
}
