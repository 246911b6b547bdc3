package worker

import (
	"context"
	"sync"
	"time"

	"github.com/cardworker/cardworker/internal/doorbell"
)

// longInHand is after how long a task that is in hand counts as one that waits for somebody else: a node of a cluster
// that does not answer, most likely, and the refreshes of the others must not wait for that.
const longInHand = 500 * time.Millisecond

// place is a task's place among those that run at once, from when asynq is handed the task.
type place struct {
	share *doorbell.Share
	long  time.Duration
	slow  *time.Timer // of long
	ended func()

	mu    sync.Mutex
	away  bool // as the share knows it
	given bool // the place is given back, though the handler may still run
}

// placeKey is that of a task's *place in its context.
type placeKey struct{}

// newPlace returns a place that the share counts already, of a task that counts as away when it is in hand for longer
// than that. ended gives it back.
func newPlace(share *doorbell.Share, long time.Duration, ended func()) *place {
	p := &place{share: share, long: long, ended: ended}
	p.slow = time.AfterFunc(long, func() { p.move(true) })
	return p
}

// move notes whether the task is away.
func (p *place) move(away bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note(away)
}

// note is move under the lock.
func (p *place) note(away bool) {
	if p.given || p.away == away {
		return
	}
	if p.away = away; away {
		p.share.Away()
	} else {
		p.share.Back()
	}
}

// giveBack gives the place back, once.
func (p *place) giveBack() {
	p.slow.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note(false)
	if !p.given {
		p.given = true
		p.ended()
	}
}

// leave gives back the place of a task: when its handler has returned, or when asynq does not wait for that.
func leave(ctx context.Context) {
	if p, ok := ctx.Value(placeKey{}).(*place); ok {
		p.giveBack()
	}
}

// away notes that a task begins to wait for somebody else, until back. A context without a place, as in a test, is
// none of a server's task.
func away(ctx context.Context) {
	if p, ok := ctx.Value(placeKey{}).(*place); ok {
		p.slow.Stop()
		p.move(true)
	}
}

// back notes that a task is back.
func back(ctx context.Context) {
	if p, ok := ctx.Value(placeKey{}).(*place); ok {
		p.move(false)
		p.slow.Reset(p.long)
	}
}
