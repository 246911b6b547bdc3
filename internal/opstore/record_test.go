package opstore

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cardworker/cardworker/tasks"
)

// fields is a readable record.
func fields() map[string]string {
	return map[string]string{
		"id": "cw05-01KAJ4S7Q0Z5M2E8H6N3T9RXVB", "kind": "unblock_pin", "token": "103169946", "state": "succeeded",
		"created_ms": "1763800000000", "attempts": "1", "status": `["Unblocked",false,3,null,null,null]`, "observed_ms": "1763800000412",
	}
}

// parse parses a record whose fields are given by name.
func parse(fields map[string]string) (Record, error) {
	values := make([]any, fieldCount)
	for i, name := range fieldNames {
		if v, ok := fields[name]; ok {
			values[i] = v
		}
	}
	return parseRecord(values)
}

func TestFields_EveryOneHasAName(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{"": true}
	for i, name := range fieldNames {
		if seen[name] {
			t.Errorf("field %d is called %q, as another or not at all", i, name)
		}
		seen[name] = true
	}
}

func TestStatus_StaysWhatItWasAndShort(t *testing.T) {
	t.Parallel()
	three, zero, text := 3, 0, "tries exceeded"
	for _, st := range []tasks.Status{
		{Value: "Unblocked", RemainingTries: &three},
		{Value: "Blocked", Blocked: true, RemainingTries: &zero, RemainingOfflineTries: &zero},
		{Value: "Blocked", Blocked: true, Code: &text, Description: &text},
	} {
		encoded := encodeStatus(&st)
		got, err := decodeStatus(encoded)
		if err != nil || !cmp.Equal(*got, st) {
			t.Errorf("%s is read as %+v, %v, want %+v", encoded, got, err, st)
		}
		if len(encoded) > 64 {
			t.Errorf("%s has %d bytes, want at most 64", encoded, len(encoded))
		}
	}
	for _, s := range []string{"", "{}", "[]", `["Unblocked"]`, `["Unblocked",false,null,null,null,null,1]`, `[1,false,null,null,null,null]`} {
		if got, err := decodeStatus(s); err == nil {
			t.Errorf("%q is read as %+v, want an error", s, got)
		}
	}
}

func TestParseRecord_NamesTheUnreadableFieldAndNotItsValue(t *testing.T) {
	t.Parallel()
	rec, err := parse(fields())
	if err != nil || rec.Token.Reveal() != "103169946" || rec.Status.ObservedAt.UnixMilli() != 1763800000412 {
		t.Fatalf("parseRecord = %+v, %v", rec, err)
	}
	for field, value := range map[string]string{
		"attempts": "many4111", "created_ms": "4111.5", "status": `["4111"`, "error": "4111x", "token": "4111111111111111",
	} {
		f := fields()
		f[field] = value
		_, err := parse(f)
		if err == nil || !strings.Contains(err.Error(), field) || strings.Contains(err.Error(), "4111111111") {
			t.Errorf("parseRecord with field %s = %v, want an error that names the field alone", field, err)
		}
	}
	for _, field := range []string{"id", "kind", "token"} {
		f := maps.Clone(fields())
		delete(f, field)
		if _, err := parse(f); err == nil {
			t.Errorf("parseRecord without %s finds nothing wrong", field)
		}
	}
}

func TestRecord_OperationIsMasked(t *testing.T) {
	t.Parallel()
	rec, err := parse(fields())
	if err != nil {
		t.Fatal(err)
	}
	op := rec.Operation()
	if op.PublicToken != "******946" || !op.Done || op.State != tasks.Succeeded || op.UnblockAcceptedAt != nil || op.NextAttemptAt != nil {
		t.Errorf("Operation() = %+v", op)
	}
}

func TestParseReply_RefusesWhatNoScriptSays(t *testing.T) {
	t.Parallel()
	for _, v := range [][]any{nil, {"ok"}, {int64(1), int64(2)}, {"ok", "now"}} {
		if _, err := parseReply(v); !errors.Is(err, errReply) {
			t.Errorf("parseReply(%v) = %v, want errReply", v, err)
		}
	}
	rep, err := parseReply([]any{"ok", int64(1763800000000), "x", []any{"running", 1.5}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rep.int(0); !errors.Is(err, errReply) {
		t.Errorf("int of a word = %v, want errReply", err)
	}
	for i := range 2 {
		if _, err := rep.record(i); !errors.Is(err, errReply) {
			t.Errorf("record at %d = %v, want errReply", i, err)
		}
	}
	if rec, err := rep.record(2); err != nil || rec.ID != "" {
		t.Errorf("record that is not there = %+v, %v, want the zero record", rec, err)
	}
}
