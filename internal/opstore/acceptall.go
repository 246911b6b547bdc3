package opstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/coalesce"
	"github.com/cardworker/cardworker/internal/doorbell"
	"github.com/cardworker/cardworker/tasks"
)

// accepting is a request of one of several callers, with its task, and what became of it.
type accepting struct {
	req  *Request
	task *doorbell.Task

	acc  Accepted
	err  error
	left bool // its caller has to accept it alone
}

// form is what requests have in common that are accepted in one step.
type form struct {
	kind              tasks.Kind
	lifetime          time.Duration
	reason, updatedBy string
}

func (a *accepting) form() form {
	return form{a.req.Kind, a.req.Lifetime, a.req.Reason, a.req.UpdatedBy}
}

// acceptOne accepts a request that nobody else came with.
func (s *Store) acceptOne(ctx context.Context, a *accepting) {
	a.acc, a.err = s.acceptAlone(ctx, a.req, a.task)
}

// acceptAll accepts requests that came at the same time.
func (s *Store) acceptAll(ctx context.Context, calls []*coalesce.Call[*accepting]) {
	forms := map[form][]*accepting{}
	for _, call := range calls {
		f := call.What.form()
		forms[f] = append(forms[f], call.What)
	}
	var running sync.WaitGroup
	for f, all := range forms {
		if len(all) == 1 || s.Apart() {
			leave(all, nil)
			continue
		}
		running.Go(func() { s.acceptForm(ctx, f, all) })
	}
	running.Wait()
}

// leave leaves requests to their callers, or, when it cannot be known whether they were accepted, tells them why.
func leave(all []*accepting, err error) {
	for _, a := range all {
		a.err, a.left = err, err == nil
	}
}

// acceptForm accepts the requests of a form.
func (s *Store) acceptForm(ctx context.Context, f form, all []*accepting) {
	first, limit := f.kind.FirstType(), s.limitOf(f.kind)
	queue := first.Policy().Queue
	_, pending, bell := all[0].task.Waiting()
	more := withField(withField(nil, fieldReason, f.reason), fieldUpdatedBy, f.updatedBy)
	const shared, each = 14, 5
	args := make([]any, 0, shared+len(more)+each*len(all))
	args = append(args, string(f.kind), f.lifetime.Milliseconds(), limit, LimitWindow.Milliseconds(),
		string(first), queue, s.cfg.Grace.Milliseconds(), s.auditKeep(), all[0].task.Since, bell,
		doorbell.TaskPrefix(all[0].task.Queue), prefix, waitingIndex(f.kind), len(more))
	args = append(args, more...)
	for _, a := range all {
		a.req.TaskID, a.req.TaskQueue = a.task.ID, queue
		args = append(args, a.req.ID, a.req.Card.Reveal(), a.req.Card.Digest(), a.task.Message, a.req.Traceparent)
	}
	rep, err := runScript(ctx, s.rdb, acceptAllScript, []string{pending}, args...)
	s.isApart(err)
	if refused := redis.Error(nil); errors.As(err, &refused) {
		leave(all, nil) // It may be for the sake of one of them.
		return
	}
	if err == nil {
		err = accepted(all, first, rep)
	}
	if err != nil {
		leave(all, fmt.Errorf("accept %s: %w", f.kind, err))
	}
}

// accepted reads what became of requests.
func accepted(all []*accepting, first tasks.Type, rep reply) error {
	expires, err := rep.int(0)
	enqueued, err2 := rep.int(1)
	left, err3 := rep.ints(2)
	if err := errors.Join(err, err2, err3); err != nil {
		return err
	}
	for _, n := range left {
		if n < 1 || n > int64(len(all)) {
			return fmt.Errorf("%w: the request %d of %d", errReply, n, len(all))
		}
		all[n-1].left = true
	}
	for _, a := range all {
		if !a.left {
			rec := created(*a.req, first, rep.now, fromMillis(expires))
			a.acc = Accepted{Record: rec, Created: true, Enqueued: enqueued == 1}
		}
	}
	return nil
}
