package opstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/coalesce"
	"github.com/cardworker/cardworker/internal/doorbell"
	"github.com/cardworker/cardworker/tasks"
)

// acceptStep is how many requests are accepted in one step at most. Nobody else is served meanwhile, for two or three
// milliseconds; more in a step are hardly accepted faster. The log of slow commands, which shows arguments, begins well
// above that, at ten (deploy/redis.conf).
const acceptStep = 64

var acceptAllText = textOf("acceptall")

// accepting is a request of one of several callers, with its task, and what became of it.
type accepting struct {
	req  *Request
	task *doorbell.Task

	acc   Accepted
	err   error
	alone bool // its caller has to accept it by itself
}

type acceptingCall = coalesce.Call[*accepting]

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

// acceptAll accepts requests that came at the same time, in one round trip.
func (s *Store) acceptAll(ctx context.Context, calls []*acceptingCall) {
	if s.Apart() {
		leaveAlone(calls)
		return
	}
	var steps []*acceptingStep
	open := map[form]*acceptingStep{}
	for _, call := range calls {
		f := call.What.form()
		step := open[f]
		if step == nil || len(step.calls) == acceptStep {
			step = &acceptingStep{store: s, form: f}
			open[f], steps = step, append(steps, step)
		}
		step.calls = append(step.calls, call)
	}
	err := s.sendSteps(ctx, steps, "evalsha", acceptAllScript.Hash())
	var unknown []*acceptingStep
	for _, step := range steps {
		if err == nil && redis.HasErrorPrefix(step.cmd.Err(), "NOSCRIPT") {
			unknown = append(unknown, step)
			continue
		}
		step.settle(err)
	}
	if len(unknown) > 0 {
		err = s.sendSteps(ctx, unknown, "eval", acceptAllText)
	}
	for _, step := range unknown {
		step.settle(err)
	}
}

func (s *Store) sendSteps(ctx context.Context, steps []*acceptingStep, command, script string) error {
	cmds := make([]redis.Cmder, len(steps))
	for i, step := range steps {
		step.cmd = redis.NewCmd(ctx, command, script)
		cmds[i] = acceptingCmd{step.cmd, step}
	}
	return coalesce.Send(ctx, s.rdb, opKey(steps[0].calls[0].What.req.ID), cmds...)
}

// leaveAlone has the callers accept their requests by themselves.
func leaveAlone(calls []*acceptingCall) {
	for _, call := range calls {
		call.What.alone = true
	}
}

// acceptingStep are requests of a form that are accepted in one step.
type acceptingStep struct {
	store *Store
	form  form
	calls []*acceptingCall
	cmd   *redis.Cmd
}

// acceptingCmd is the command of a step.
type acceptingCmd struct {
	*redis.Cmd
	step *acceptingStep
}

// Args is what go-redis asks for whenever it writes the command. Some callers may have left by then: they were told so,
// and their requests are not to be accepted later.
func (c acceptingCmd) Args() []any { return c.step.args(c.Cmd.Args()) }

// args returns the arguments of the command that begins so.
func (step *acceptingStep) args(command []any) []any {
	const shared, each = 22, 5
	s, f, first := step.store, step.form, step.form.kind.FirstType()
	args := append(make([]any, 0, len(command)+shared+each*len(step.calls)), command...)
	begun := false
	for _, call := range step.calls {
		if call.Left() {
			continue
		}
		req, task := call.What.req, call.What.task
		if !begun {
			begun = true
			_, pending, bell := task.Waiting()
			more := withField(withField(nil, fieldReason, f.reason), fieldUpdatedBy, f.updatedBy)
			args = append(args, 2, pending, opKey(req.ID),
				string(f.kind), f.lifetime.Milliseconds(), s.limitOf(f.kind), LimitWindow.Milliseconds(),
				string(first), first.Policy().Queue, s.cfg.Grace.Milliseconds(), s.auditKeep(), task.Since, bell,
				doorbell.TaskPrefix(task.Queue), prefix, waitingIndex(f.kind), s.cfg.ResultTTL.Milliseconds(), len(more))
			args = append(args, more...)
		}
		args = append(args, req.ID, req.Card.Reveal(), req.Card.Digest(), task.Message, req.Traceparent)
	}
	if !begun {
		return []any{"echo"} // Redis answers that an argument is missing, and nobody reads it.
	}
	return args
}

// settle reads what became of the requests. err is why there is no reply.
func (step *acceptingStep) settle(err error) {
	var v []any
	if err == nil {
		v, err = step.cmd.Slice()
	}
	if refused := redis.Error(nil); errors.As(err, &refused) {
		step.store.isApart(err)
		leaveAlone(step.calls) // It may be for the sake of one of them.
		return
	}
	var rep reply
	if err == nil {
		rep, err = parseReply(v)
	}
	if err == nil {
		err = step.accepted(rep)
	}
	if err == nil {
		return
	}
	for _, call := range step.calls {
		call.What.err = fmt.Errorf("accept %s: %w", step.form.kind, err)
	}
}

// accepted reads the reply of the script.
func (step *acceptingStep) accepted(rep reply) error {
	expires, err := rep.int(0)
	enqueued, err2 := rep.int(1)
	ids, err3 := rep.strings(2)
	replies, err4 := rep.pairs(3)
	if err := errors.Join(err, err2, err3, err4); err != nil {
		return err
	}
	isNew := make(map[string]bool, len(ids))
	for _, id := range ids {
		isNew[id] = true
	}
	for _, call := range step.calls {
		a := call.What
		a.req.setFirstTask()
		one, known := replies[a.req.ID]
		switch {
		case isNew[a.req.ID]:
			a.acc = Accepted{Record: created(*a.req, rep.now, fromMillis(expires)), Created: true, Enqueued: enqueued == 1}
		case known:
			a.acc, a.err = step.store.outcome(a.req, one)
		default:
			a.alone = true
		}
	}
	return nil
}
