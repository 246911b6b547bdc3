package opstore

import (
	"errors"
	"fmt"
)

// Durability is how safe an operation has to be before the caller is told that it was accepted.
type Durability string

// The levels.
const (
	// InMemory: the primary has confirmed it. What that is worth is for its appendfsync to say.
	InMemory Durability = "memory"
	// OnDisk: it is on the primary's disk. That takes an appendfsync of always, or a server that knows
	// WAITAOF (Redis 7.2, Valkey).
	OnDisk Durability = "disk"
	// OnReplica: a replica has it too.
	OnReplica Durability = "replica"
)

// Valid reports whether d is one of the levels.
func (d Durability) Valid() bool { return d == InMemory || d == OnDisk || d == OnReplica }

// ErrNotDurable says that an operation is not as safe as [Config].Durability asks, or cannot be.
var ErrNotDurable = errors.New("not durable")

// notDurable is an [ErrNotDurable] with its reason and what to do.
type notDurable struct {
	level Durability
	// recorded: the operation is in Redis and may go on.
	recorded bool
	why      string
}

func (e *notDurable) Error() string {
	if e.recorded {
		return fmt.Sprintf("durability %s: %s; the operation may go on or be lost, and asking again with the same idempotency key is safe", e.level, e.why)
	}
	return fmt.Sprintf("durability %s cannot be had: %s", e.level, e.why)
}

func (e *notDurable) Is(target error) bool { return target == ErrNotDurable }
