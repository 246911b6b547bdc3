package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/gate"
	"github.com/cardworker/cardworker/tasks"
)

// probeScript does nothing: no member is empty. A user who may read a queue, or put tasks into it, is refused the
// commands in it or one of its keys, which only a worker has a use for. Every Redis says so before anything else,
// also one that refuses writes at the moment.
var probeScript = redis.NewScript(`
redis.call('LREM', KEYS[1], 0, '')
redis.call('LREM', KEYS[2], 0, '')
return redis.call('ZREM', KEYS[3], '')`)

// checkRights returns an error when the Redis user may not do what a worker does. Otherwise each task would find
// that out, or there would never be one. What else can be wrong with Redis may pass.
func checkRights(ctx context.Context, rdb redis.UniversalClient) error {
	for _, q := range tasks.Queues() {
		prefix := "asynq:{" + q + "}:"
		keys := []string{prefix + "pending", prefix + "active", prefix + "lease"}
		if err := probeScript.Run(ctx, rdb, keys).Err(); forbidden(err) {
			return fmt.Errorf("take tasks from the queue %s: %w", q, err)
		}
	}
	// The first shard stands for all, which one pattern allows.
	if err := rdb.ZRem(ctx, "cardworker:{cw00}:leased", "").Err(); forbidden(err) {
		return fmt.Errorf("lease operations: %w", err)
	}
	keys, heard := gate.Touch(ctx, rdb, writeTimeout)
	if forbidden(keys) {
		return fmt.Errorf("share the rate and the circuit breaker: %w", keys)
	}
	if forbidden(heard) {
		return fmt.Errorf("hear of the circuit breaker: %w", heard)
	}
	sub := rdb.Subscribe(ctx, "asynq:cancel")
	_, err := sub.ReceiveTimeout(ctx, writeTimeout)
	if closeErr := sub.Close(); err == nil {
		err = closeErr
	}
	if forbidden(err) {
		return fmt.Errorf("hear of tasks that are cancelled: %w", err)
	}
	return nil
}

// forbidden tells whether Redis says that the user may not do something, also from inside of a script.
func forbidden(err error) bool {
	var reply redis.Error
	if !errors.As(err, &reply) {
		return false
	}
	return strings.HasPrefix(reply.Error(), "NOPERM") || strings.Contains(reply.Error(), "The user executing the script can't")
}
