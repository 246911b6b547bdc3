package faults

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// nothingIsLeft is I11 for what is in Redis: once all has ended there is no lock, no lease and nobody that
// waits.
func (r *run) nothingIsLeft() {
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
	defer cancel()
	for i := range r.backend.servers {
		c := r.backend.node(i)
		for _, pattern := range []string{"cardworker:*:lock:*", "cardworker:*:leased", "cardworker:*:waiting:*"} {
			keys, err := scan(ctx, c, pattern)
			if err != nil {
				r.t.Errorf("look for %s: %v", pattern, err)
			}
			if len(keys) > 0 {
				r.t.Errorf("%d keys %s are left, such as %s", len(keys), pattern, keys[0])
			}
		}
		_ = c.Close()
	}
}

// scan returns the keys of one server that match.
func scan(ctx context.Context, c *redis.Client, pattern string) ([]string, error) {
	var out []string
	it := c.Scan(ctx, 0, pattern, 1000).Iterator()
	for it.Next(ctx) {
		out = append(out, it.Val())
	}
	return out, it.Err()
}
