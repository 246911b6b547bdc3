package taskqueue

import (
	"bytes"

	"google.golang.org/protobuf/encoding/protowire"
)

// The numbers of two fields of asynq's message, a protocol buffer.
const (
	payloadField = 2
	idField      = 3
)

// template is a message of asynq with room for another payload and another id.
type template struct{ before, between, after []byte }

// templateOf makes a template of asynq's message of a task with this payload and this id. It reports false when they are
// not where they were when this was written.
func templateOf(message string, payload []byte, id string) (template, bool) {
	b := []byte(message)
	payloadFrom, payloadTo, ok := find(b, payloadField, payload)
	idFrom, idTo, ok2 := find(b, idField, []byte(id))
	if !ok || !ok2 || payloadTo > idFrom {
		return template{}, false
	}
	return template{b[:payloadFrom], b[payloadTo:idFrom], b[idTo:]}, true
}

// find returns where the field with the number lies, if it is there once and has this value.
func find(message []byte, field protowire.Number, value []byte) (from, to int, ok bool) {
	for at := 0; at < len(message); {
		number, kind, n := protowire.ConsumeTag(message[at:])
		if n < 0 {
			return 0, 0, false
		}
		length := protowire.ConsumeFieldValue(number, kind, message[at+n:])
		if length < 0 {
			return 0, 0, false
		}
		if number == field {
			v, _ := protowire.ConsumeBytes(message[at+n:])
			if ok || kind != protowire.BytesType || !bytes.Equal(v, value) {
				return 0, 0, false
			}
			from, to, ok = at, at+n+length, true
		}
		at += n + length
	}
	return from, to, ok
}

// message returns the message of a task with this payload and this id. Neither may be empty: asynq leaves out a field
// that is.
func (t template) message(payload []byte, id string) string {
	const frames = 16 // two tags and two lengths at most
	b := make([]byte, 0, len(t.before)+len(t.between)+len(t.after)+len(payload)+len(id)+frames)
	b = append(b, t.before...)
	b = protowire.AppendBytes(protowire.AppendTag(b, payloadField, protowire.BytesType), payload)
	b = append(b, t.between...)
	b = protowire.AppendString(protowire.AppendTag(b, idField, protowire.BytesType), id)
	return string(append(b, t.after...))
}
