package doorbell

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/encoding/protowire"
)

//go:embed putback.lua
var putBackText string

var putBackScript = redis.NewScript(putBackText)

// Refuse is called when the server takes no more tasks: what is given from now on is refused. It returns the ids of what
// was given or begun and not handed out, which is for PutBack as well. It is safe for concurrent use with Give, and to
// call again.
func (h *Handful) Refuse() (begun []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refuses = true
	for _, t := range h.queues {
		var given []Took
		for _, message := range t.given {
			given = append(given, Took{Message: message})
			if id, err := taskID(message); err == nil {
				begun = append(begun, id)
			}
		}
		for _, task := range t.tasks {
			if task.Begun != "" {
				begun = append(begun, task.Begun)
			}
		}
		t.tasks, t.given = append(given, t.tasks...), nil
	}
	return begun
}

// PutBack returns what was taken and not handed out to the head of its queue, and rings, so that another
// worker begins it at once. It is called when the server takes no more tasks, after Refuse. The error lists what could
// not be returned; its operations are for recovery then.
func (h *Handful) PutBack(ctx context.Context) error {
	defer h.settle()
	var errs []error
	for _, t := range h.queues {
		if len(t.tasks) == 0 {
			continue
		}
		keys := []string{DequeueKeys(t.queue)[2], DequeueKeys(t.queue)[3], pendingKey(t.queue)}
		args := []any{TaskPrefix(t.queue)}
		for _, task := range slices.Backward(t.tasks) { // The last one returned is the next one taken.
			if !decodes(task.Message) {
				errs = append(errs, h.setAside(ctx, t.queue, task.Message))
				continue
			}
			id, err := taskID(task.Message)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			args = append(args, id)
		}
		t.tasks = nil
		if len(args) == 1 {
			continue
		}
		if err := putBackScript.Run(ctx, h.UniversalClient, keys, args...).Err(); err != nil {
			errs = append(errs, fmt.Errorf("put %d tasks back into queue %s: %w", len(args)-1, t.queue, err))
			continue
		}
		// A ring that is lost is made up for by whoever asks every second.
		_ = Ring(ctx, h.UniversalClient, t.queue)
	}
	return errors.Join(errs...)
}

// idField is the number of the id in asynq's message of a task, a protocol buffer.
const idField = 3

var errNoID = errors.New("a message of asynq without an id")

// taskID reads the id of a task from asynq's message.
func taskID(message string) (string, error) {
	for b := []byte(message); len(b) > 0; {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return "", errNoID
		}
		b = b[n:]
		if number == idField && kind == protowire.BytesType {
			id, n := protowire.ConsumeString(b)
			if n < 0 {
				return "", errNoID
			}
			return id, nil
		}
		if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
			return "", errNoID
		}
		b = b[n:]
	}
	return "", errNoID
}
