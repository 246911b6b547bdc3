package opstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cardworker/cardworker/tasks"
)

// Event is one thing that happened to an operation.
type Event struct {
	At     time.Time
	ID     string // of the operation
	Name   string // accepted, joined, begun, retry, read_blocked, unblock_accepted, redispatched, expired, succeeded, failed, redriven
	Detail string // the fence of a begin, the code of a failure; never a token
}

// Events returns what happened in a shard, oldest first, as far back as events are kept. It is for
// audits and tests: it reads the whole stream.
func (s *Store) Events(ctx context.Context, shard string) ([]Event, error) {
	msgs, err := s.rdb.XRange(ctx, auditKey(shard), "-", "+").Result()
	if err != nil {
		return nil, fmt.Errorf("read the events of %s: %w", shard, err)
	}
	out := make([]Event, 0, len(msgs))
	for _, m := range msgs {
		ms, _, _ := strings.Cut(m.ID, "-")
		at, err := strconv.ParseInt(ms, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%w: event id", errReply)
		}
		e := Event{At: fromMillis(at)}
		e.ID, _ = m.Values["id"].(string)
		e.Name, _ = m.Values["event"].(string)
		e.Detail, _ = m.Values["detail"].(string)
		out = append(out, e)
	}
	return out, nil
}

// EventsOf returns the events of one operation, oldest first.
func (s *Store) EventsOf(ctx context.Context, id string) ([]Event, error) {
	all, err := s.Events(ctx, tasks.ShardOf(id))
	if err != nil {
		return nil, err
	}
	var out []Event
	for _, e := range all {
		if e.ID == id {
			out = append(out, e)
		}
	}
	return out, nil
}
