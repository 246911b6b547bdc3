package main

import (
	"encoding/json"
	"maps"
	"slices"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/tasks"
)

// The keys of an operation's JSON.
var (
	operationKeys = []string{
		"attempts", "created_at", "done", "error", "expires_at", "id", "kind", "next_attempt_at", "public_token", "state", "status",
		"unblock_accepted_at", "updated_at",
	}
	statusKeys = []string{"blocked", "code", "description", "observed_at", "remaining_offline_tries", "remaining_tries", "value"}
	errorKeys  = []string{"code", "message", "retryable"}
)

// operation reads one line of JSON output, whose keys have to be exactly those of the contract, and more.
func operation(t testing.TB, line string, more ...string) tasks.Operation {
	t.Helper()
	var op tasks.Operation
	var keys struct {
		Status, Error map[string]any
	}
	all := map[string]any{}
	for _, v := range []any{&op, &keys, &all} {
		if err := json.Unmarshal([]byte(line), v); err != nil {
			t.Fatalf("stdout is no operation: %v: %s", err, line)
		}
	}
	for what, tc := range map[string]struct {
		got  map[string]any
		want []string
	}{
		"the operation": {all, append(slices.Clone(operationKeys), more...)}, "its status": {keys.Status, statusKeys}, "its error": {keys.Error, errorKeys},
	} {
		if got := slices.Sorted(maps.Keys(tc.got)); tc.got != nil {
			slices.Sort(tc.want)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("keys of %s (-want +got):\n%s", what, diff)
			}
		}
	}
	return op
}

// A worker and a command, two processes of the shipped program with nothing but the environment set, and
// an API that they have never met.
func TestUnblock_AgainstAnotherImplementationOfTheAPI(t *testing.T) {
	t.Parallel()
	const token = "POST /tenant/oauth2/v2.0/token"
	const form = "client_id=client-1&client_secret=canary-client-secret&grant_type=client_credentials&scope=api%3A%2F%2Fmini%2F.default"
	for name, tc := range map[string]struct {
		key     string
		args    []string
		kind    tasks.Kind
		unblock string
		body    map[string]string
		status  string
		tries   *int
	}{
		"PIN": {
			args: []string{"pin"}, kind: tasks.UnblockPIN,
			unblock: "POST /thr/thredd/card-pin/103169946/pin/unblock", body: map[string]string{},
			status: "GET /thr/thredd/card-pin/103169946/pin/status", tries: new(3),
		},
		"CVV": {
			args: []string{"cvv"}, kind: tasks.UnblockCVV,
			unblock: "PUT /thr/thredd/card-cvv/103169946/cvv/status", body: map[string]string{"status": "Unblocked"},
			status: "GET /thr/thredd/card-cvv/103169946/cvv/status",
		},
		"PIN with a subscription key and a note": {
			key: miniKey, args: []string{"pin", "--reason", "verified in app", "--updated-by", "ops"}, kind: tasks.UnblockPIN,
			unblock: "POST /thr/thredd/card-pin/103169946/pin/unblock", body: map[string]string{"description": "verified in app", "updatedBy": "ops"},
			status: "GET /thr/thredd/card-pin/103169946/pin/status", tries: new(3),
		},
		"CVV with a subscription key and a note": {
			key: miniKey, args: []string{"cvv", "--reason", "verified in app", "--updated-by", "ops"}, kind: tasks.UnblockCVV,
			unblock: "PUT /thr/thredd/card-cvv/103169946/cvv/status",
			body:    map[string]string{"status": "Unblocked", "description": "verified in app", "updatedBy": "ops"},
			status:  "GET /thr/thredd/card-cvv/103169946/cvv/status",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, redisURL := redistest.Shared(t)
			api := newMini(t, func(m *mini) { m.key = tc.key })
			worker, _ := startWorkerProcess(t, api.environ(redisURL))

			args := append([]string{"unblock", tc.args[0], "103169946", "--wait", "-o", "json"}, tc.args[1:]...)
			asked := startProcess(t, []string{"REDIS_URL=" + redisURL}, args...)
			if status := asked.wait(t); status.ExitStatus() != exitOK {
				t.Fatalf("cardworker %v ended with %d: %s", args, status.ExitStatus(), asked.stderr)
			}
			op := operation(t, one(t, "stdout", asked.stdout.String()))
			if op.Kind != tc.kind || op.State != tasks.Succeeded || !op.Done || op.PublicToken != "******946" || op.Error != nil ||
				op.Attempts != 1 || op.UnblockAcceptedAt == nil || op.NextAttemptAt != nil {
				t.Errorf("operation = %+v, want a succeeded %s", op, tc.kind)
			}
			if s := op.Status; s == nil || s.Value != "Unblocked" || s.Blocked || cmp.Diff(tc.tries, s.RemainingTries) != "" || s.ObservedAt.Before(*op.UnblockAcceptedAt) {
				t.Errorf("status = %+v, want Unblocked, %v tries, observed after the API accepted the unblock", s, tc.tries)
			}

			worker.signal(t, syscall.SIGTERM)
			if status := worker.wait(t); status.ExitStatus() != exitOK {
				t.Errorf("the worker ended with %d, want 0", status.ExitStatus())
			}
			got := api.requests()
			if len(got) != 3 {
				t.Fatalf("the API saw %d requests, want 3: %+v", len(got), got)
			}
			var body map[string]string
			if err := json.Unmarshal([]byte(got[1].Body), &body); err != nil {
				t.Fatalf("the body of the unblock is no JSON: %v: %s", err, got[1].Body)
			}
			if diff := cmp.Diff(tc.body, body); diff != "" {
				t.Errorf("body of the unblock (-want +got):\n%s", diff)
			}
			got[1].Body = ""
			const bearer = "Bearer " + miniAccess
			want := []seen{
				{Line: token, ContentType: "application/x-www-form-urlencoded", Body: form},
				{Line: tc.unblock, Authorization: bearer, ContentType: "application/json", Key: tc.key},
				{Line: tc.status, Authorization: bearer, Key: tc.key},
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			for what, text := range map[string]string{"the worker's log": worker.stderr.String(), "the command": asked.stderr.String() + asked.stdout.String()} {
				clean(t, what, text, "103169946", miniSecret, miniAccess, miniKey)
			}
		})
	}
}
