package bench

import (
	"context"
	"net"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// trips counts what a program asks of Redis, as a hook of its clients. It is safe for concurrent use.
// Subscriptions go past hooks; they are made once.
type trips struct {
	// seen, when not nil, is told of each round trip when it is over. Set it before the first.
	seen func(role string, cmds []redis.Cmder)

	mu    sync.Mutex
	roles []*tripHook
}

// tripHook counts for the clients of one role.
type tripHook struct {
	role       string
	seen       func(role string, cmds []redis.Cmder)
	roundTrips atomic.Int64 // single commands and pipelines
}

// of returns a hook for the clients of a role.
func (t *trips) of(role string) redis.Hook {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, h := range t.roles {
		if h.role == role {
			return h
		}
	}
	h := &tripHook{role: role, seen: t.seen}
	t.roles = append(t.roles, h)
	return h
}

// byRole is how many round trips the clients of each role have made.
func (t *trips) byRole() map[string]int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := map[string]int64{}
	for _, h := range t.roles {
		out[h.role] = h.roundTrips.Load()
	}
	return out
}

// total is how many round trips there were.
func (t *trips) total() int64 {
	var n int64
	for _, v := range t.byRole() {
		n += v
	}
	return n
}

// tell is called before a round trip: when its answer is here, others may have acted on it long since.
func (h *tripHook) tell(cmds ...redis.Cmder) {
	if h.seen != nil {
		h.seen(h.role, cmds)
	}
}

// DialHook passes on.
func (h *tripHook) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessHook counts a command.
func (h *tripHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		h.tell(cmd)
		defer h.roundTrips.Add(1)
		return next(ctx, cmd)
	}
}

// ProcessPipelineHook counts a pipeline.
func (h *tripHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		h.tell(cmds...)
		defer h.roundTrips.Add(1)
		return next(ctx, cmds)
	}
}
