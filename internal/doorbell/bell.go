package doorbell

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/coalesce"
)

// askInterval is how often the bell asks whether anything waits that nobody rang for.
const askInterval = time.Second

// subscribeAgain is the pause after a subscription that failed.
const subscribeAgain = 100 * time.Millisecond

// Bell hears the rings for some queues. Make one with [Listen]; it is safe for concurrent use.
type Bell struct {
	rdb      redis.UniversalClient
	queues   []string
	pubsub   *redis.PubSub
	release  context.CancelFunc
	released <-chan struct{} // closed by release
	ended    sync.WaitGroup

	mu      sync.Mutex
	waiting map[string][]chan<- struct{} // by channel: who waits for a queue's rings; each holds one ring
}

// Listen begins to hear the rings for the queues, on a connection of rdb's. It does not wait for the
// connection: what is rung before is found by looking.
func Listen(rdb redis.UniversalClient, queues ...string) *Bell {
	ctx, release := context.WithCancel(context.Background())
	b := &Bell{
		rdb: rdb, queues: queues, waiting: map[string][]chan<- struct{}{},
		// To name the channels here would be to wait for the connection.
		pubsub: rdb.Subscribe(ctx), release: release, released: ctx.Done(),
	}
	b.ended.Go(func() { b.listen(ctx) })
	b.ended.Go(func() { b.ask(ctx) })
	return b
}

func (b *Bell) listen(ctx context.Context) {
	channels := make([]string, len(b.queues))
	for i, q := range b.queues {
		channels[i] = channel(q)
	}
	// go-redis may have made a new connection by the time it says that this failed, one that is subscribed to
	// nothing. ask makes up for it until then.
	for b.pubsub.Subscribe(ctx, channels...) != nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(subscribeAgain):
		}
	}
	for m := range b.pubsub.ChannelWithSubscriptions(redis.WithChannelSize(1024)) {
		switch m := m.(type) {
		case *redis.Message:
			b.hear(m.Channel)
		case *redis.Subscription:
			// The connection is new: what was rung before it was made is not known.
			b.hear(m.Channel)
		}
	}
}

// ask finds the tasks that nobody rang for.
func (b *Bell) ask(ctx context.Context) {
	tick := time.NewTicker(askInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		bounded, cancel := context.WithTimeout(ctx, askInterval)
		for _, q := range b.pending(bounded) {
			b.hear(channel(q))
		}
		cancel()
	}
}

// pending returns the queues that may have something in them. When Redis does not answer there are none:
// the connection will be made anew, and that rings.
func (b *Bell) pending(ctx context.Context) []string {
	if _, cluster := coalesce.Cluster(b.rdb); !cluster {
		keys := make([]string, len(b.queues))
		for i, q := range b.queues {
			keys[i] = pendingKey(q)
		}
		if n, err := b.rdb.Exists(ctx, keys...).Result(); err != nil || n == 0 {
			return nil
		}
		return b.queues
	}
	// The queues may lie on different nodes of a cluster.
	var out []string
	for _, q := range b.queues {
		if n, err := b.rdb.Exists(ctx, pendingKey(q)).Result(); err == nil && n > 0 {
			out = append(out, q)
		}
	}
	return out
}

// hear passes a ring on to everybody who waits for the queue.
func (b *Bell) hear(ch string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range b.waiting[ch] {
		select {
		case w <- struct{}{}:
		default: // One ring is enough.
		}
	}
}

func (b *Bell) subscribe(queues []string) <-chan struct{} {
	c := make(chan struct{}, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, q := range queues {
		b.waiting[channel(q)] = append(b.waiting[channel(q)], c)
	}
	return c
}

// Release ends all waits, now and in future: looks at empty queues return at once. It is for the time
// when a server stops, which waits for its last look.
func (b *Bell) Release() { b.release() }

// Released is closed by Release.
func (b *Bell) Released() <-chan struct{} { return b.released }

// Close ends the listening, after a Release. It is safe to call twice.
func (b *Bell) Close() error {
	b.Release()
	err := b.pubsub.Close()
	b.ended.Wait()
	if errors.Is(err, redis.ErrClosed) {
		return nil // By an earlier Close.
	}
	return err
}
