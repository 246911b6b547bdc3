package opstore

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// subscribeBatch is how many channels one SUBSCRIBE names. It bounds the burst of confirmations.
	subscribeBatch = 1000
	// subscribePause is how long to wait after Redis could not be told of a change of interest.
	subscribePause = 100 * time.Millisecond
)

// Watcher tells when operations change. All watches of a watcher share one connection to Redis, however
// many there are, and none of its callers ever waits for that connection. It is safe for concurrent use;
// close it when it is no longer needed.
type Watcher struct {
	rdb   redis.UniversalClient
	done  chan struct{} // closed by Close
	dirty chan struct{} // wakes the subscriber: there is something in changed

	mu      sync.Mutex
	watches map[string]map[*Watch]struct{} // by channel; none is empty
	changed map[string]struct{}            // channels whose first watch came or whose last one went
	stopped chan struct{}                  // closed when the goroutines have ended; nil until the first watch
}

// NewWatcher returns a watcher that connects when it is first used.
func (s *Store) NewWatcher() *Watcher {
	return &Watcher{
		rdb: s.rdb, done: make(chan struct{}), dirty: make(chan struct{}, 1),
		watches: map[string]map[*Watch]struct{}{}, changed: map[string]struct{}{},
	}
}

// Watch is one interest in one operation.
type Watch struct {
	// C receives when the operation may have changed: first when the watch has become effective, so
	// that a read after that misses nothing; then at each change; and again after the connection was
	// lost and found. Several changes may come as one.
	C <-chan struct{}
	// Ended receives when the operation may have ended: with C, but for the changes that are known to have left it open.
	// What it receives may spare a read.
	Ended <-chan Ending
	// Closed is closed when the watcher is: nothing comes any more.
	Closed <-chan struct{}

	watcher *Watcher
	channel string
	c       chan struct{}
	ended   chan Ending
}

// Watch begins to watch an operation. The id must be valid. Close the watch when it is over. It does not
// wait for Redis; the only error is that the watcher has been closed.
func (w *Watcher) Watch(id string) (*Watch, error) {
	c, ended := make(chan struct{}, 1), make(chan Ending, 1)
	watch := &Watch{C: c, Ended: ended, Closed: w.done, c: c, ended: ended, watcher: w, channel: opKey(id)}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.isClosed() {
		return nil, fmt.Errorf("watch %s: %w", id, redis.ErrClosed)
	}
	if w.stopped == nil {
		w.stopped = make(chan struct{})
		go w.subscribe(w.stopped)
	}
	if others, ok := w.watches[watch.channel]; ok {
		others[watch] = struct{}{}
		// The channel may be effective already, and then no confirmation comes any more.
		watch.wake(mayHaveEnded)
		return watch, nil
	}
	w.watches[watch.channel] = map[*Watch]struct{}{watch: {}}
	w.change(watch.channel)
	return watch, nil
}

// Close ends the watch. It is safe to call twice.
func (x *Watch) Close() {
	w := x.watcher
	w.mu.Lock()
	defer w.mu.Unlock()
	others := w.watches[x.channel]
	if _, ok := others[x]; !ok {
		return
	}
	delete(others, x)
	if len(others) == 0 {
		delete(w.watches, x.channel)
		w.change(x.channel)
	}
}

// wake tells of a change. It is called with the lock held.
func (x *Watch) wake(e Ending) {
	if !e.leavesOpen() {
		select {
		case earlier := <-x.ended:
			if earlier == mayHaveEnded {
				e = mayHaveEnded // What was missed may be more than this tells.
			}
		default:
		}
		x.ended <- e // There is room: nobody else sends.
	}
	select {
	case x.c <- struct{}{}:
	default: // It is awake already and has not read yet.
	}
}

// change has the subscriber look at the channel. It is called with the lock held.
func (w *Watcher) change(channel string) {
	w.changed[channel] = struct{}{}
	select {
	case w.dirty <- struct{}{}:
	default:
	}
}

// subscribe keeps the subscriptions of the one connection in step with the watches until the watcher is
// closed. It alone talks to Redis, so that a slow or absent Redis holds up nobody else, and so that a
// thousand watches which come together are one command.
func (w *Watcher) subscribe(stopped chan<- struct{}) {
	defer close(stopped)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var others sync.WaitGroup
	defer others.Wait()
	others.Go(func() {
		<-w.done
		cancel()
	})
	ps := w.rdb.Subscribe(ctx)
	defer func() { _ = ps.Close() }() // Nobody needs the connection any more.
	// Messages of a lost connection are not missed: go-redis makes it anew with all its channels, and
	// each confirmation wakes the channel's watches.
	msgs := ps.ChannelWithSubscriptions(redis.WithChannelSize(4096))
	others.Go(func() { w.dispatch(msgs) })

	// The channels that go-redis keeps alive, and whether Redis was told of them. When it could not be,
	// go-redis may or may not do it later.
	told := map[string]bool{}
	for {
		select {
		case <-w.done:
			return
		case <-w.dirty:
		}
		join, leave := w.take(told)
		for batch := range slices.Chunk(join, subscribeBatch) {
			err := ps.Subscribe(ctx, batch...)
			for _, channel := range batch {
				told[channel] = err == nil
			}
			if err != nil {
				w.again(batch)
			}
		}
		for batch := range slices.Chunk(leave, subscribeBatch) {
			// When this cannot be written the connection is made anew without the channels.
			_ = ps.Unsubscribe(ctx, batch...)
			for _, channel := range batch {
				delete(told, channel)
			}
		}
	}
}

// take returns the channels to subscribe to and to leave. A channel that was left and is wanted again
// before that was done is still effective, so its watches are told at once.
func (w *Watcher) take(told map[string]bool) (join, leave []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for channel := range w.changed {
		watches, wanted := w.watches[channel]
		effective, known := told[channel]
		switch {
		case wanted && !effective:
			join = append(join, channel)
		case !wanted && known:
			leave = append(leave, channel)
		case wanted:
			for x := range watches {
				x.wake(mayHaveEnded)
			}
		}
	}
	clear(w.changed)
	return join, leave
}

// again has the subscriber try the channels once more, after a pause.
func (w *Watcher) again(channels []string) {
	timer := time.NewTimer(subscribePause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.done:
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, channel := range channels {
		w.change(channel)
	}
}

// dispatch passes on what the connection receives until it is closed.
func (w *Watcher) dispatch(msgs <-chan any) {
	for m := range msgs {
		switch m := m.(type) {
		case *redis.Message:
			w.wake(m.Channel, Ending{m.Payload})
		case *redis.Subscription:
			if m.Kind == "subscribe" {
				w.wake(m.Channel, mayHaveEnded)
			}
		}
	}
}

func (w *Watcher) wake(channel string, e Ending) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for x := range w.watches[channel] {
		x.wake(e)
	}
}

// Close ends all watches and the connection. It is safe to call twice.
func (w *Watcher) Close() error {
	w.mu.Lock()
	if !w.isClosed() {
		close(w.done)
	}
	stopped := w.stopped
	w.mu.Unlock()
	if stopped != nil {
		<-stopped
	}
	return nil
}

func (w *Watcher) isClosed() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}
