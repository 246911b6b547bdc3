package faults

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/tasks"
)

// redisMemory is what operations take in Redis.
type redisMemory struct {
	baseline int // before the first
	measured []memoryOf
}

// memoryOf is what one operation of a load takes, in bytes.
type memoryOf struct {
	kinds          string // as in the language: unblocks or refreshes
	accepted, done int
	kept           int // for a day
}

// drainedWithin bounds how long the operations of a measurement may take.
const drainedWithin = 2 * time.Minute

// measureMemory has n operations of each sort accepted while no worker runs, then done, and notes what they
// take in Redis before and after. RESULT_TTL has to be longer than a sort takes.
func (r *run) measureMemory(n int) {
	r.t.Helper()
	r.stopTaps()
	r.stopWorkers()
	first := "" // of all operations, and the first to be gone
	for _, kinds := range []string{"unblocks", "refreshes"} {
		before, keptBefore := r.usedMemory(), r.lasting()
		if r.memory.baseline == 0 {
			r.memory.baseline = before
		}
		asked := r.askFor(n, kindsOf[kinds]...)
		accepted := r.usedMemory()
		for i := range r.sc.Workers {
			r.fleet.start(r.t, i+1)
		}
		ctx, cancel := context.WithTimeout(r.t.Context(), drainedWithin)
		for _, q := range asked {
			if op, err := r.load.client.Wait(ctx, q.ID); err != nil || op.State != tasks.Succeeded {
				r.t.Errorf("an operation of a measurement is %s: %v", op.State, err)
				break
			}
		}
		cancel()
		r.stopWorkers()
		m := memoryOf{kinds, (accepted - before) / n, (r.usedMemory() - before) / n, (r.lasting() - keptBefore) / n}
		r.t.Logf("%d %s take %d bytes of Redis each while they wait, %d when they are done, %d of them for a day", n, kinds, m.accepted, m.done, m.kept)
		first = cmp.Or(first, asked[0].ID)
		if _, err := r.load.client.Get(r.t.Context(), first); err != nil {
			r.t.Errorf("RESULT_TTL is too short for this machine, results went while they were measured: %v", err)
		}
		r.memory.measured = append(r.memory.measured, m)
	}
}

func (r *run) stopWorkers() {
	for i := range r.sc.Workers {
		r.fleet.stop(r.t, i+1)
	}
}

// usedMemory is what the first server has allocated, its clients' buffers aside.
func (r *run) usedMemory() int {
	r.t.Helper()
	c := r.backend.node(0)
	defer func() { _ = c.Close() }()
	n, err := usedMemory(r.t.Context(), c)
	if err != nil {
		r.t.Errorf("ask Redis for its memory: %v", err)
	}
	return n
}

func usedMemory(ctx context.Context, c *redis.Client) (int, error) {
	info, err := c.InfoMap(ctx, "memory").Result()
	if err != nil {
		return 0, err
	}
	used, err1 := strconv.Atoi(info["Memory"]["used_memory"])
	clients, err2 := strconv.Atoi(info["Memory"]["mem_clients_normal"])
	if err1 != nil || err2 != nil {
		return 0, fmt.Errorf("the server does not say how much it uses: %v", info)
	}
	return used - clients, nil
}

// memoryAbove says which sort takes more than that many bytes each, waiting or done, or "".
func (r *run) memoryAbove(most int) string {
	if len(r.memory.measured) == 0 {
		return "nothing was measured"
	}
	for _, m := range r.memory.measured {
		if m.accepted > most || m.done > most || m.accepted <= 0 || m.done <= 0 {
			return fmt.Sprintf("%s take %d while they wait, %d when they are done", m.kinds, m.accepted, m.done)
		}
	}
	return ""
}

// kept are the keys that outlive the results of operations: the audit stream, the limits of cards, idempotency
// keys, what asynq keeps for itself. The records of the load, which has idempotency keys, stay with them.
var kept = regexp.MustCompile(`^(cardworker:\{cw\d\d\}:(audit|limit:.*|idem:.*)|asynq:(queues|\{\w+\}:(processed|failed)(:[\d-]+)?))$`)

// memorySlack is what Redis may have allocated since for the expiry of keys and for who asks it.
const memorySlack = 2 << 20

// backToBaseline waits until only the keys are there that outlive results, and looks whether the others have
// given back what they took. It returns what is wrong, or "".
func (r *run) backToBaseline(within time.Duration) (what string) {
	ctx, cancel := context.WithTimeout(r.t.Context(), within)
	defer cancel()
	c := r.backend.node(0)
	defer func() { _ = c.Close() }()
	r.stopWorkers()
	defer func() {
		for i := range r.sc.Workers {
			r.fleet.start(r.t, i+1)
		}
	}()
	for every(ctx, 500*time.Millisecond) {
		keys, err := scan(ctx, c, "*")
		if err != nil {
			return err.Error()
		}
		other, lasting := "", []string{}
		for _, k := range keys {
			if kept.MatchString(k) || slices.ContainsFunc(r.asked, func(q request) bool { return strings.HasSuffix(k, ":op:"+q.ID) }) {
				lasting = append(lasting, k)
			} else {
				other = k
			}
		}
		if other != "" {
			what = fmt.Sprintf("%d keys, such as %s", len(keys)-len(lasting), other)
			continue
		}
		return r.aboveBaseline(ctx, c, lasting)
	}
	return "there still are " + what
}

// aboveBaseline compares the memory that is used, without the keys that last, with what it was at first.
func (r *run) aboveBaseline(ctx context.Context, c *redis.Client, lasting []string) string {
	used, err := usedMemory(ctx, c)
	if err != nil {
		return err.Error()
	}
	last, err := sizeOf(ctx, c, lasting)
	if err != nil {
		return err.Error()
	}
	more := used - last - r.memory.baseline
	r.t.Logf("%d bytes stay for a day; beyond that there are %d more than at first", last, more)
	if more > memorySlack {
		return fmt.Sprintf("%d bytes more are used than at first", more)
	}
	return ""
}

// lasting returns the size of the keys that outlive results.
func (r *run) lasting() int {
	r.t.Helper()
	c := r.backend.node(0)
	defer func() { _ = c.Close() }()
	keys, err := scan(r.t.Context(), c, "*")
	if err == nil {
		var n int
		if n, err = sizeOf(r.t.Context(), c, slices.DeleteFunc(keys, func(k string) bool { return !kept.MatchString(k) })); err == nil {
			return n
		}
	}
	r.t.Errorf("ask Redis for the size of keys: %v", err)
	return 0
}

// sizeOf returns what keys take, with their entries in the table of keys.
func sizeOf(ctx context.Context, c *redis.Client, keys []string) (sum int, err error) {
	for page := range slices.Chunk(keys, 1000) {
		cmds, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, k := range page {
				p.MemoryUsage(ctx, k, 0)
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
		for _, cmd := range cmds {
			sum += int(cmd.(*redis.IntCmd).Val()) + tableSize
		}
	}
	return sum, nil
}

// tableSize is what the tables of keys and of expiries have for a key beyond what MEMORY USAGE counts: an entry
// of the second, and a slot in both.
const tableSize = 24 + 2*8
