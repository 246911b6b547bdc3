package tasks

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sampleOperations holds an operation in each shape that a reader may meet.
func sampleOperations() map[string]Operation {
	base := Operation{
		ID: sampleID, Kind: UnblockPIN, PublicToken: "******946", State: Accepted,
		CreatedAt: at("2026-11-22T10:00:00.1Z"), UpdatedAt: at("2026-11-22T10:00:00.1Z"), ExpiresAt: at("2026-11-22T10:05:00.1Z"),
	}
	accepted := base

	waiting := base
	waiting.State, waiting.Attempts = Running, 2
	waiting.NextAttemptAt = ptr(at("2026-11-22T10:00:01.5Z"))

	succeeded := base
	succeeded.State, succeeded.Done, succeeded.Attempts = Succeeded, true, 1
	succeeded.Status = &Status{Value: "Unblocked", RemainingTries: ptr(3), ObservedAt: at("2026-11-22T10:00:00.412Z")}
	succeeded.UnblockAcceptedAt = ptr(at("2026-11-22T10:00:00.201Z"))
	succeeded.UpdatedAt = at("2026-11-22T10:00:00.412Z")

	failed := base
	failed.State, failed.Done, failed.Attempts = Failed, true, 1
	failed.Status = &Status{
		Value: "Blocked", Blocked: true, RemainingTries: ptr(0), RemainingOfflineTries: ptr(2),
		Code: ptr("75"), Description: ptr("PIN tries exceeded"), ObservedAt: at("2026-11-22T10:00:04Z"),
	}
	failed.UnblockAcceptedAt = ptr(at("2026-11-22T10:00:00.201Z"))
	failed.Error = &Error{Code: CodeStillBlocked, Message: "the unblock was accepted, every read says blocked", Retryable: true}
	return map[string]Operation{"accepted": accepted, "waiting": waiting, "succeeded": succeeded, "failed": failed}
}

func TestOperation_JSON(t *testing.T) {
	t.Parallel()
	for name, op := range sampleOperations() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, err := json.Marshal(op)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "operation_"+name+".golden.json", indented(t, b))
			var back Operation
			if err := json.Unmarshal(b, &back); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(op, back); diff != "" {
				t.Errorf("operation after a round trip (-want +got):\n%s", diff)
			}
		})
	}
}

// A reader may rely on every field being there, null when there is nothing to say.
func TestOperation_JSONHasEveryFieldAlways(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		value any
		want  []string
	}{
		"operation": {Operation{}, []string{
			"id", "kind", "public_token", "state", "done", "status", "error", "unblock_accepted_at",
			"attempts", "created_at", "updated_at", "expires_at", "next_attempt_at",
		}},
		"status": {Status{}, []string{
			"value", "blocked", "remaining_tries", "remaining_offline_tries", "code", "description", "observed_at",
		}},
		"error": {Error{}, []string{"code", "message", "retryable"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, err := json.Marshal(tc.value)
			if err != nil {
				t.Fatal(err)
			}
			var fields map[string]json.RawMessage
			if err := json.Unmarshal(b, &fields); err != nil {
				t.Fatal(err)
			}
			for _, f := range tc.want {
				if _, ok := fields[f]; !ok {
					t.Errorf("the zero %s has no field %q", name, f)
				}
			}
			if len(fields) != len(tc.want) || reflect.TypeOf(tc.value).NumField() != len(tc.want) {
				t.Errorf("the zero %s has %d fields, want %d", name, len(fields), len(tc.want))
			}
		})
	}
}
