package opstore

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cardworker/cardworker/tasks"
)

// Call says what is known of the unblock that a record's worker may have sent.
type Call string

// What may be known of a call.
const (
	// CallNone: none is on its way, and none was applied without our knowing.
	CallNone Call = ""
	// CallOpen: the current attempt may send it.
	CallOpen Call = "open"
	// CallWas: an earlier attempt may have sent it and never learned the outcome. The status has to be
	// read before another is sent.
	CallWas Call = "was"
)

// Record is an operation as the store keeps it: what a backend sees, and what the workers need.
type Record struct {
	ID        string
	Kind      tasks.Kind
	Token     tasks.PublicToken
	State     tasks.State
	Status    *tasks.Status
	Error     *tasks.Error
	Attempts  int
	Created   time.Time
	Updated   time.Time
	Expires   time.Time
	Accepted  time.Time // zero: the API has accepted nothing yet
	Next      time.Time // zero: no attempt is waiting
	Reason    string
	UpdatedBy string

	Version   int64      // counts the changes
	Fence     int64      // the newest fence given out
	LeaseEnds time.Time  // zero: nobody holds the lease
	Seq       int64      // number of the operation's current task
	TaskType  tasks.Type // its type, queue and id
	TaskQueue string
	TaskID    string
	Call      Call
	Tries     int        // of the current step, this one included
	Reads     int        // confirming reads that said blocked
	LastCode  tasks.Code // of the newest failed attempt
	// Traceparent is the context of the trace that the operation belongs to, "" when it belongs to none.
	Traceparent string
}

// Operation returns what a backend may see of the record.
func (r Record) Operation() tasks.Operation {
	return tasks.Operation{
		ID: r.ID, Kind: r.Kind, PublicToken: r.Token.Masked(), State: r.State, Done: r.State.Done(),
		Status: r.Status, Error: r.Error, UnblockAcceptedAt: optional(r.Accepted), Attempts: r.Attempts,
		CreatedAt: r.Created, UpdatedAt: r.Updated, ExpiresAt: r.Expires, NextAttemptAt: optional(r.Next),
	}
}

func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// The fields of a record in Redis, by the positions that replies of scripts have them in. Those that change
// most come first, because Redis looks for a field from the beginning.
const (
	fieldState = iota
	fieldVersion
	fieldFence
	fieldLease
	fieldSeq
	fieldWrote     // the number of the call that wrote last
	fieldKeepUntil // until when an idempotency key needs the record, or 0
	fieldAccepted
	fieldTries
	fieldAttempts
	fieldReads
	fieldCall
	fieldUpdated
	fieldNext
	fieldExpires
	fieldRun // the name of the run that has the lease
	fieldLastCode
	fieldTaskType
	fieldTaskQueue
	fieldTaskID
	fieldID
	fieldKind
	fieldToken
	fieldCreated
	fieldReason
	fieldUpdatedBy
	fieldTraceparent // there only when the operation belongs to a trace
	fieldStatus
	fieldObserved
	fieldError
	fieldCount
)

var fieldNames = [fieldCount]string{
	fieldState: "state", fieldVersion: "ver", fieldFence: "fence", fieldLease: "lease_ms", fieldSeq: "seq",
	fieldWrote: "wrote", fieldCall: "call", fieldUpdated: "updated_ms", fieldTries: "tries",
	fieldAttempts: "attempts", fieldReads: "reads", fieldNext: "next_ms", fieldAccepted: "accepted_ms",
	fieldLastCode: "last_code", fieldRun: "run", fieldExpires: "expires_ms", fieldTaskType: "task_type",
	fieldTaskQueue: "task_queue", fieldTaskID: "task_id", fieldID: "id", fieldKind: "kind", fieldToken: "token",
	fieldCreated: "created_ms", fieldReason: "reason", fieldUpdatedBy: "updated_by", fieldTraceparent: "traceparent",
	fieldKeepUntil: "keep_until_ms", fieldStatus: "status", fieldObserved: "observed_ms", fieldError: "error",
}

// fieldsForScripts declares in Lua what a text uses of the names and positions of the fields: FIELDS lists the names,
// and STATE, VER and so on are positions.
func fieldsForScripts(text string) string {
	var positions, numbers []string
	for i, name := range fieldNames {
		if position := strings.ToUpper(name); uses(text, position) {
			positions, numbers = append(positions, position), append(numbers, strconv.Itoa(i+1))
		}
	}
	declared := ""
	if len(positions) > 0 {
		declared = fmt.Sprintf("local %s = %s\n", strings.Join(positions, ","), strings.Join(numbers, ","))
	}
	if uses(text, "FIELDS") {
		declared += fmt.Sprintf("local FIELDS = {'%s'}\n", strings.Join(fieldNames[:], "','"))
	}
	return declared
}

// parseRecord reads the fields of a record, which lie at their positions; those that are missing at the end
// are not set.
func parseRecord(values []any) (Record, error) {
	p := fieldParser{}
	for i, v := range values[:min(len(values), fieldCount)] {
		switch v := v.(type) {
		case nil:
		case string:
			p.fields[i] = v
		case int64:
			p.fields[i] = strconv.FormatInt(v, 10)
		default:
			return Record{}, fmt.Errorf("%w: %T in a record", errReply, v)
		}
	}
	f := &p.fields
	r := Record{
		ID: f[fieldID], Kind: tasks.Kind(f[fieldKind]), State: tasks.State(f[fieldState]),
		Reason: f[fieldReason], UpdatedBy: f[fieldUpdatedBy],
		TaskType: tasks.Type(f[fieldTaskType]), TaskQueue: f[fieldTaskQueue], TaskID: f[fieldTaskID],
		Call: Call(f[fieldCall]), LastCode: tasks.Code(f[fieldLastCode]),
		Attempts: int(p.int(fieldAttempts)), Tries: int(p.int(fieldTries)), Reads: int(p.int(fieldReads)),
		Version: p.int(fieldVersion), Fence: p.int(fieldFence), Seq: p.int(fieldSeq),
		Created: p.time(fieldCreated), Updated: p.time(fieldUpdated), Expires: p.time(fieldExpires),
		Accepted: p.time(fieldAccepted), Next: p.time(fieldNext), LeaseEnds: p.time(fieldLease),
		Traceparent: f[fieldTraceparent],
	}
	if token, err := tasks.ParsePublicToken(f[fieldToken]); err != nil {
		p.fail(fieldToken, err)
	} else {
		r.Token = token
	}
	if s := f[fieldStatus]; s != "" {
		st, err := decodeStatus(s)
		if err != nil {
			p.fail(fieldStatus, err)
		} else {
			st.ObservedAt = p.time(fieldObserved)
			r.Status = st
		}
	}
	if e := f[fieldError]; e != "" {
		if err := json.Unmarshal([]byte(e), &r.Error); err != nil {
			p.fail(fieldError, err)
		}
	}
	if p.err == nil && (!tasks.ValidID(r.ID) || !r.Kind.Valid()) {
		p.fail(fieldID, errReply)
	}
	return r, p.err
}

// fieldParser reads the fields of a record and keeps the first problem.
type fieldParser struct {
	fields [fieldCount]string
	err    error
}

func (p *fieldParser) fail(field int, err error) {
	if p.err == nil {
		p.err = fmt.Errorf("record %s has an unreadable field %s: %w", p.fields[fieldID], fieldNames[field], err)
	}
}

func (p *fieldParser) int(field int) int64 {
	v := p.fields[field]
	if v == "" {
		return 0
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		p.fail(field, err)
	}
	return n
}

func (p *fieldParser) time(field int) time.Time {
	if ms := p.int(field); ms != 0 {
		return fromMillis(ms)
	}
	return time.Time{}
}

// encodeStatus writes a status as a list, so that it is short: Redis keeps a record in a third of the space
// as long as none of its fields is longer than 64 bytes. The time of observation is a field of its own.
func encodeStatus(st *tasks.Status) string {
	if st == nil {
		return ""
	}
	return encodeJSON([]any{st.Value, st.Blocked, st.RemainingTries, st.RemainingOfflineTries, st.Code, st.Description})
}

func decodeStatus(s string) (*tasks.Status, error) {
	st := &tasks.Status{}
	into := []any{&st.Value, &st.Blocked, &st.RemainingTries, &st.RemainingOfflineTries, &st.Code, &st.Description}
	n := len(into)
	if err := json.Unmarshal([]byte(s), &into); err != nil {
		return nil, err
	}
	if len(into) != n {
		return nil, fmt.Errorf("%w: a status of %d parts", errReply, len(into))
	}
	return st, nil
}

func encodeJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("opstore: encode: %v", err)) // Plain values.
	}
	return string(b)
}
