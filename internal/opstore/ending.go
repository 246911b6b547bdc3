package opstore

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/cardworker/cardworker/tasks"
)

// Ending is what Redis has told of the end of an operation, with the message that wakes who waits for it. It was
// published by the script that wrote the end, so it is as good as what a read finds then, and spares it.
type Ending struct{ told string }

// mayHaveEnded tells of nothing: something may have been missed.
var mayHaveEnded = Ending{}

// open are the states of an operation that has not ended. Anything else that is published may be the end.
var open = []tasks.State{tasks.Accepted, tasks.Running, tasks.Confirming}

// leavesOpen reports whether the change is known to have left the operation open.
func (e Ending) leavesOpen() bool { return slices.Contains(open, tasks.State(e.told)) }

// The lines of a message, as change in prelude.lua makes it.
const (
	toldState = iota
	toldVersion
	toldUpdated
	toldAccepted
	toldAttempts
	toldStatus
	toldError
	toldLines
)

// Of returns what an operation has become that was rec when it was read: what a backend may see of it and its version
// are those of the end, and what is for workers is left as it was. It reports false when that does not follow: the
// ending tells of nothing, or in another release's way, or of an end that rec comes after. Then the operation has to
// be read.
func (e Ending) Of(rec Record) (Record, bool) {
	lines := strings.Split(e.told, "\n")
	if len(lines) != toldLines {
		return rec, false
	}
	p := fieldParser{}
	p.fields[fieldID] = rec.ID
	p.fields[fieldVersion], p.fields[fieldUpdated] = lines[toldVersion], lines[toldUpdated]
	p.fields[fieldAccepted], p.fields[fieldAttempts] = lines[toldAccepted], lines[toldAttempts]
	ended := rec
	ended.State, ended.Version, ended.Updated = tasks.State(lines[toldState]), p.int(fieldVersion), p.time(fieldUpdated)
	ended.Accepted, ended.Attempts, ended.Next = p.time(fieldAccepted), int(p.int(fieldAttempts)), time.Time{}
	status, err := decodeStatus(lines[toldStatus])
	if err != nil || p.err != nil || !ended.State.Done() || ended.Version <= rec.Version {
		return rec, false
	}
	status.ObservedAt = ended.Updated
	ended.Status, ended.Error = status, nil
	if lines[toldError] != "" && json.Unmarshal([]byte(lines[toldError]), &ended.Error) != nil {
		return rec, false
	}
	return ended, true
}
