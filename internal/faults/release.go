package faults

import (
	"context"
	"fmt"

	"github.com/hibiken/asynq"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/internal/audit"
	"github.com/cardworker/cardworker/internal/opstore"
	"github.com/cardworker/cardworker/tasks"
)

// upgrade stops worker n and starts one of the next release in its place.
func (r *run) upgrade(n int) {
	r.fleet.stop(r.t, n)
	r.fleet.binaries[n-1] = binaryFor(r.t, nextRelease)
	r.fleet.start(r.t, n)
}

// newer has a plain asynq client of the next release ask for n unblocks: its payloads are of a version that
// this release does not know, with a field that it does not know.
func (r *run) newer(n int) {
	r.t.Helper()
	client := asynq.NewClientFromRedisClient(r.backend.direct.New("next-release"))
	for range n {
		q := audit.Request{Kind: tasks.UnblockPIN, Card: r.newCard()}
		card, err := tasks.ParsePublicToken(q.Card)
		if err != nil {
			r.t.Fatal(err)
		}
		queue, id := q.Kind.FirstType().Policy().Queue, fmt.Sprintf("newer-%d", r.cards)
		payload := fmt.Appendf(nil, `{"version":%d,"public_token":%q,"urgency":{"level":3}}`, tasks.PayloadVersion+1, q.Card)
		_, err = client.EnqueueContext(r.t.Context(), asynq.NewTask(string(q.Kind.FirstType()), payload), asynq.Queue(queue), asynq.TaskID(id))
		if err != nil {
			r.t.Errorf("enqueue a task of the next release: %v", err)
			return
		}
		q.ID = opstore.DerivedID(card, queue, id)
		r.unborn = append(r.unborn, q)
	}
}

// awaitBirth waits until a worker has begun the tasks of the next release, which makes their operations.
func (r *run) awaitBirth(client *enqueue.Client) {
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	for _, q := range r.unborn {
		for {
			if _, err := client.Get(ctx, q.ID); err == nil {
				r.load.accepted(q)
				break
			}
			if !every(ctx, askPause) {
				r.t.Errorf("a task of the next release was not begun within %s", patience)
				return
			}
		}
	}
}
