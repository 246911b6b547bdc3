package worker

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cardworker/cardworker/internal/doorbell"
	"github.com/cardworker/cardworker/tasks"
)

type delivery struct{ queue, id string }

// reap takes note of actors that have come to their end, as asynq does.
func (w *world) reap() {
	for _, a := range slices.Clone(w.runs) {
		if !a.ended.Load() {
			continue
		}
		w.runs = slices.DeleteFunc(w.runs, func(o *actor) bool { return o == a })
		if a.task == nil || a.task.id == "" || a.proc.dead.Load() {
			continue
		}
		key := taskKey(a.task.queue, a.task.id)
		switch {
		case w.do("HGET", key, "state") != "active": // It has ended: by the run itself, or by another to which it was delivered.
		case a.err == nil:
			w.do("LREM", "asynq:{"+a.task.queue+"}:active", "0", a.task.id)
			w.do("DEL", key)
		case errors.Is(a.err, asynq.SkipRetry):
			w.do("HSET", key, "state", "archived")
		default:
			w.do("HSET", key, "state", "retry")
			w.do("ZADD", "asynq:{"+a.task.queue+"}:retry", "1", a.task.id)
			w.wakes[a.task.queue+" "+a.task.id] = time.Now().Add(delayForAsynq(0, a.err, nil))
		}
	}
	for name, at := range w.wakes {
		if !at.After(time.Now()) {
			queue, id, _ := strings.Cut(name, " ")
			delete(w.wakes, name)
			if n := w.do("ZREM", "asynq:{"+queue+"}:retry", id); n == int64(1) {
				w.do("HSET", taskKey(queue, id), "state", "pending")
				w.do("LPUSH", "asynq:{"+queue+"}:pending", id)
			}
		}
	}
}

func taskKey(queue, id string) string { return "asynq:{" + queue + "}:t:" + id }

// deliver has a process run a task, as asynq would.
func (w *world) deliver(d delivery, p *node) {
	key := taskKey(d.queue, d.id)
	msg, ok := w.do("HGET", key, "msg").(string)
	if !ok {
		return // It was done in the meantime.
	}
	w.do("HSET", key, "state", "active")
	w.do("LREM", "asynq:{"+d.queue+"}:active", "0", d.id) // Once, also when it is delivered again.
	w.do("LPUSH", "asynq:{"+d.queue+"}:active", d.id)
	w.last = &actor{name: p.name, proc: p, task: &d}
	w.start(w.last, func(ctx context.Context) error { return w.process(ctx, d, msg, p) })
}

// process runs a task as asynq hands it out.
func (w *world) process(ctx context.Context, d delivery, msg string, p *node) error {
	name, payload := decodeTask(w.t, msg)
	ctx, cancel := context.WithTimeout(ctx, tasks.Type(name).Policy().Timeout)
	defer cancel()
	// As withActive does with the context that asynq gives.
	ctx = context.WithValue(ctx, activeKey{}, doorbell.Active{Queue: d.queue, ID: d.id})
	return p.worker.ProcessTask(ctx, asynq.NewTask(name, payload))
}

// take has a process look at a queue in a way that begins what it takes, and run that.
func (w *world) take(queue string, p *node) {
	d := &delivery{queue: queue}
	a := &actor{name: p.name, proc: p, task: d}
	w.last = a
	w.start(a, func(ctx context.Context) error {
		args, read := taker{p.worker}.Look(queue, time.Now().Add(time.Minute).Unix())
		cmd := redis.NewCmd(ctx, args...)
		if err := p.rdb.Process(ctx, cmd); err != nil {
			return err // Whatever was taken, nobody here knows.
		}
		task, err := read(cmd.Val())
		if err != nil {
			return err
		}
		d.id = idOf(task.Message)
		// It is on its way to its run. The process may stand still until the lease has run out, or stop.
		switch a.ask(step{"hand out", []fate{happens, crashes, stalls, handsBack}}) {
		case crashes:
			return errDead
		case handsBack:
			p.worker.giveUp(ctx, []string{d.id})
			w.do("LREM", "asynq:{"+queue+"}:active", "0", d.id)
			w.do("RPUSH", "asynq:{"+queue+"}:pending", d.id)
			d.id = "" // It is nobody's any more.
			return nil
		default:
			return w.process(ctx, *d, task.Message, p)
		}
	})
}

// decodeTask reads the type and the payload of asynq's message.
func decodeTask(t testing.TB, msg string) (name string, payload []byte) {
	t.Helper()
	fields := stringsOf(msg)
	if len(fields) < 3 {
		t.Fatalf("asynq's message cannot be read: %q", msg)
	}
	return fields[1], []byte(fields[2])
}

// idOf reads the id of asynq's message.
func idOf(msg string) string { return stringsOf(msg)[3] }

// stringsOf returns the fields of asynq's message, a protocol buffer, that are strings or bytes, by their numbers.
func stringsOf(msg string) map[protowire.Number]string {
	fields := map[protowire.Number]string{}
	for b := []byte(msg); len(b) > 0; {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil
		}
		b = b[n:]
		if kind == protowire.BytesType {
			v, _ := protowire.ConsumeBytes(b)
			fields[field] = string(v)
		}
		if n = protowire.ConsumeFieldValue(field, kind, b); n < 0 {
			return nil
		}
		b = b[n:]
	}
	return fields
}
