package faults

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/internal/audit"
	"github.com/cardworker/cardworker/tasks"
)

const (
	// askers is how many producers ask for a backlog at the same time.
	askers = 32
	// backlogExpiry is more than it takes to work a backlog off.
	backlogExpiry = 30 * time.Minute
	// underPoison is how long after the first poison operations are taken to be under it.
	underPoison = 5 * time.Second
)

// askFor has n operations accepted as fast as can be, of the kinds in turn. It returns them as they were asked for.
func (r *run) askFor(n int, kinds ...tasks.Kind) []audit.Request {
	r.t.Helper()
	asked := make([]audit.Request, n)
	for i := range asked {
		asked[i] = audit.Request{Kind: kinds[i%len(kinds)], Card: r.newCard()}
	}
	work := make(chan *audit.Request)
	var all sync.WaitGroup
	for range askers {
		all.Go(func() {
			for q := range work {
				acc, err := r.load.client.Accept(r.t.Context(), q.Kind, q.Card, enqueue.ExpiresIn(backlogExpiry))
				if err != nil {
					r.t.Errorf("accept an operation of a backlog: %v", err)
				}
				q.ID = acc.ID
			}
		})
	}
	for i := range asked {
		work <- &asked[i]
	}
	close(work)
	all.Wait()
	return asked
}

// backlog has n refreshes wait.
func (r *run) backlog(n int) {
	r.t.Helper()
	r.stopTaps()
	began := time.Now()
	for _, q := range r.askFor(n, kindsOf["refreshes"]...) {
		r.load.accepted(q)
	}
	r.t.Logf("%d refreshes were accepted within %s", n, time.Since(began).Round(time.Millisecond))
}

// residentPeak is the most memory, in bytes, that any of the workers that run has had resident.
func (r *run) residentPeak() (int, error) {
	most := 0
	for _, p := range r.fleet.slots {
		if p == nil {
			continue
		}
		n, err := peakOf(p.cmd.Process.Pid)
		if err != nil {
			return 0, err
		}
		most = max(most, n)
	}
	return most, nil
}

// peakOf reads the "high water mark" of a process's resident memory.
func peakOf(pid int) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("what a process takes is looked up in /proc, as Linux has it: %w", err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		var kB int
		if _, err := fmt.Sscanf(lines.Text(), "VmHWM: %d kB", &kB); err == nil {
			return kB << 10, nil
		}
	}
	return 0, fmt.Errorf("/proc/%s/status has no VmHWM", strconv.Itoa(pid))
}

// poisonedLatency returns how long unblocks took that were accepted before the poison, and soon after its
// beginning.
func (r *run) poisonedLatency() (before, under []time.Duration) {
	for _, op := range r.result.Finals {
		took := op.UpdatedAt.Sub(op.CreatedAt)
		switch {
		case !op.Kind.Unblocks() || r.poisonBegan.IsZero():
		case op.UpdatedAt.Before(r.poisonBegan):
			before = append(before, took)
		case op.CreatedAt.After(r.poisonBegan) && op.CreatedAt.Before(r.poisonBegan.Add(underPoison)):
			under = append(under, took)
		}
	}
	return before, under
}
