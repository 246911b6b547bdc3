package opstore

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

var errReply = errors.New("unexpected reply of a script")

// reply is what a script answered: an outcome, the time by Redis, and more.
type reply struct {
	outcome string
	now     time.Time
	rest    []any
}

func parseReply(v []any) (reply, error) {
	if len(v) < 2 {
		return reply{}, fmt.Errorf("%w: %d elements", errReply, len(v))
	}
	outcome, ok := v[0].(string)
	now, ok2 := v[1].(int64)
	if !ok || !ok2 {
		return reply{}, fmt.Errorf("%w: %T, %T", errReply, v[0], v[1])
	}
	return reply{outcome: outcome, now: fromMillis(now), rest: v[2:]}, nil
}

// record reads the i-th element after the time as a record; a missing one is the zero record.
func (r reply) record(i int) (Record, error) {
	if i >= len(r.rest) {
		return Record{}, nil
	}
	values, ok := r.rest[i].([]any)
	if !ok {
		return Record{}, fmt.Errorf("%w: %T for a record", errReply, r.rest[i])
	}
	return parseRecord(values)
}

func (r reply) int(i int) (int64, error) {
	if i < len(r.rest) {
		switch v := r.rest[i].(type) {
		case int64:
			return v, nil
		case string:
			n, err := strconv.ParseInt(v, 10, 64)
			if err == nil {
				return n, nil
			}
		}
	}
	return 0, fmt.Errorf("%w: no number at %d", errReply, i)
}

func (r reply) strings(i int) ([]string, error) {
	if i >= len(r.rest) {
		return nil, fmt.Errorf("%w: no list at %d", errReply, i)
	}
	list, ok := r.rest[i].([]any)
	if !ok {
		return nil, fmt.Errorf("%w: %T for a list", errReply, r.rest[i])
	}
	out := make([]string, len(list))
	for j, v := range list {
		if out[j], ok = v.(string); !ok {
			return nil, fmt.Errorf("%w: %T in a list", errReply, v)
		}
	}
	return out, nil
}

// pairs reads the i-th element as a list of names, each with the reply that belongs to it.
func (r reply) pairs(i int) (map[string]reply, error) {
	if i >= len(r.rest) {
		return nil, fmt.Errorf("%w: no list at %d", errReply, i)
	}
	list, ok := r.rest[i].([]any)
	if !ok || len(list)%2 != 0 {
		return nil, fmt.Errorf("%w: %T of %d for pairs", errReply, r.rest[i], len(list))
	}
	out := make(map[string]reply, len(list)/2)
	for j := 0; j < len(list); j += 2 {
		name, ok := list[j].(string)
		v, ok2 := list[j+1].([]any)
		if !ok || !ok2 {
			return nil, fmt.Errorf("%w: %T, %T for a pair", errReply, list[j], list[j+1])
		}
		one, err := parseReply(v)
		if err != nil {
			return nil, err
		}
		out[name] = one
	}
	return out, nil
}

func fromMillis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
