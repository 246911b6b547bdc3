package enqueue

import (
	"context"

	"github.com/cardworker/cardworker/internal/opstore"
)

// Durability is how safe an operation has to be in Redis before its request counts as accepted. It is about
// the request and its idempotency key alone: what a worker writes later is as safe as Redis's own settings
// make it. What each level can lose, and what it costs, is in docs/RELIABILITY.md.
type Durability string

// The levels. When one is not reached in time the error is [ErrQueueUnavailable] and [ErrNotDurable].
const (
	// InMemory: Redis has it. With appendfsync everysec the last second can be lost.
	InMemory Durability = "memory"
	// OnDisk: it is on the primary's disk as well, so that a crash or the loss of power loses nothing. The
	// server has to know WAITAOF (Redis 7.2 or newer, Valkey), or its appendfsync has to be always;
	// otherwise every request is refused.
	OnDisk Durability = "disk"
	// OnReplica: one replica has it as well, so that a failover to it loses nothing. Without a replica that
	// answers within a second requests are refused.
	OnReplica Durability = "replica"
)

// Durabilities returns the levels.
func Durabilities() []Durability { return []Durability{InMemory, OnDisk, OnReplica} }

// ErrNotDurable comes with [ErrQueueUnavailable] when Redis could be reached, but the operation is not as safe
// as [Config].Durability asks, or never can be. Its text says which, and what to do.
var ErrNotDurable = opstore.ErrNotDurable

// CheckDurability reports whether Redis can give the durability of the configuration, for those who want to
// know when they start. Otherwise the first request finds out, and is refused before anything is recorded. The
// error is [ErrQueueUnavailable].
func (c *Client) CheckDurability(ctx context.Context) error {
	return admissionError(c.store.CheckDurability(ctx))
}
