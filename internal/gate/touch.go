package gate

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// touchScript does nothing: no field is empty, and nothing is written over nothing.
var touchScript = redis.NewScript(`
redis.call('HDEL', KEYS[1], '')
redis.call('HDEL', KEYS[2], '')
redis.call('SETRANGE', KEYS[3], 0, '')
return redis.call('SETRANGE', KEYS[4], 0, '')`)

// Touch uses the keys of a gate, and its channel, and changes nothing. The errors tell whether the Redis user may;
// what else they say may pass. Timeout bounds the wait for the channel.
func Touch(ctx context.Context, rdb redis.UniversalClient, timeout time.Duration) (keys, heard error) {
	keys = touchScript.Run(ctx, rdb, []string{stateKey, windowKey, probeKey, rateKey}).Err()
	sub := rdb.Subscribe(ctx, channel)
	_, heard = sub.ReceiveTimeout(ctx, timeout)
	if err := sub.Close(); heard == nil {
		heard = err
	}
	return keys, heard
}
