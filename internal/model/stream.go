package model

import (
	"fmt"
	"strings"
)

// xadd appends an entry with an id of its own. It never trims: what a trim would take away is a day old.
func xadd(k *Keyspace, a []string) (any, error) {
	rest := a[1:]
	if strings.EqualFold(rest[0], "MINID") {
		rest = rest[1:]
		if rest[0] == "~" {
			rest = rest[1:]
		}
		rest = rest[1:]
	}
	if rest[0] != "*" {
		return nil, fmt.Errorf("ERR the model makes the ids of a stream's entries itself, not %q", rest[0])
	}
	entries := peek[[]streamEntry](k, a[0])
	id := fmt.Sprintf("%d-%d", k.now().UnixMilli(), len(entries))
	k.keys[a[0]] = append(entries, streamEntry{id, append([]string(nil), rest[1:]...)})
	return id, nil
}

// xrange returns the whole stream, whatever the bounds.
func xrange(k *Keyspace, a []string) (any, error) {
	var out []any
	for _, e := range peek[[]streamEntry](k, a[0]) {
		fields := make([]any, len(e.fields))
		for i, f := range e.fields {
			fields[i] = f
		}
		out = append(out, []any{e.id, fields})
	}
	return out, nil
}
