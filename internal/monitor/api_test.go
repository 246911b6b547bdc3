package monitor

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/hibiken/asynq"

	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/tasks"
)

func TestAPI_NoCallShowsATokenOrACardNumber(t *testing.T) {
	t.Parallel()
	sc := newScene(t, redistest.Start(t).Client(t))
	s := newServer(t, Config{Redis: sc.rdb})

	// What each answer must have, so that it is known to tell of the task at all.
	calls := map[string]string{
		"/api/queues":                                        `"queue":"unblock"`,
		"/api/queues/unblock":                                `"current"`,
		"/api/queue_stats":                                   `"succeeded"`,
		"/api/servers":                                       `"task_payload":"{\"public_token\":\"******946\"`,
		"/api/scheduler_entries":                             `"task_payload":"{\"public_token\":\"******946\"`,
		"/api/redis_info":                                    `"redis_version"`,
		"/api/queues/refresh/groups":                         `"group":"batch"`,
		"/api/queues/unblock/archived_tasks":                 `card ******946, number [hidden] ([hidden]): status 404`,
		"/api/queues/unblock/retry_tasks":                    `/card-cvv/******34X/cvv/status`,
		"/api/queues/refresh/completed_tasks":                `"result":"{\"(unknown)\":\"[hidden]\"`,
		"/api/queues/unblock/tasks/4f2a9c10-retry":           `card ******34X: Put`,
		"/api/queues/refresh/tasks/4f2a9c10-completed":       `\"public_token\":\"******uio\"`,
		"/api/queues/unblock/tasks/4f2a9c10-active":          `"state":"active"`,
		"/api/queues/unblock/active_tasks":                   `"start_time"`,
		"/api/queues/confirm/pending_tasks":                  `"4f2a9c10-pending"`,
		"/api/queues/refresh/scheduled_tasks":                `"next_process_at"`,
		"/api/queues/confirm/tasks/4f2a9c10-pending":         `\"reason\":\"[hidden]\"`,
		"/api/queues/refresh/tasks/4f2a9c10-scheduled":       `\"updated_by\":\"[hidden]\"`,
		"/api/queues/refresh/tasks/4f2a9c10-aggregating":     `******34X`,
		"/api/queues/refresh/groups/batch/aggregating_tasks": `******34X`,
	}
	for path, want := range calls {
		res := ask(t, s, http.MethodGet, path)
		wantStatus(t, path, res, http.StatusOK)
		if got := res.Header.Get("Content-Type"); got != "application/json" {
			t.Errorf("%s: Content-Type %q, want application/json", path, got)
		}
		body := bodyOf(t, res)
		if !json.Valid([]byte(body)) {
			t.Errorf("%s: not JSON: %.200s", path, body)
		}
		if !strings.Contains(body, want) {
			t.Errorf("%s: no %s in %.1500s", path, want, body)
		}
		wantNoCanary(t, path, body)
	}
}

func TestAPI_AnswersOfStrangersAreMaskedByDefault(t *testing.T) {
	t.Parallel()
	// A field of a later version, a payload that went past its formatter, an id and a time.
	const in = `{"tasks":[{"id":"t-103169946","payload":"{\"public_token\":\"103169946\"}","new_field":["card 103169946"],
		"task_payload":"103169946","error_message":"qwertzuio","type":"x:103169946","timestamp":"2026-11-22T10:00:00.412345678Z","size":123456789}]}`
	got, err := maskJSON([]byte(in), tokens{"qwertzuio"})
	if err != nil {
		t.Fatalf("maskJSON: %v", err)
	}
	const want = `{"tasks":[{"error_message":"******uio","id":"t-103169946","new_field":["card ******946"],` +
		`"payload":"{\"public_token\":\"******946\"}","size":123456789,"task_payload":"[hidden, 9 bytes]",` +
		`"timestamp":"2026-11-22T10:00:00.412345678Z","type":"x:******946"}]}`
	if string(got) != want {
		t.Errorf("maskJSON = %s, want %s", got, want)
	}
	for _, bad := range []string{"", "<html>", "{} {}", `{"a":`} {
		if got, err := maskJSON([]byte(bad), nil); err == nil {
			t.Errorf("maskJSON(%q) = %q, want an error", bad, got)
		}
	}
}

func TestAPI_ErrorTextIsMaskedAndPlain(t *testing.T) {
	t.Parallel()
	rdb, _ := redistest.Shared(t)
	s := newServer(t, Config{Redis: rdb})
	res := ask(t, s, http.MethodGet, "/api/queues/103169946/tasks/a")
	wantStatus(t, "unknown queue", res, http.StatusNotFound)
	if got := res.Header.Get("Content-Type"); got != "text/plain; charset=utf-8" {
		t.Errorf("Content-Type %q, want text/plain", got)
	}
	wantNoCanary(t, "the error", bodyOf(t, res))
}

func TestAPI_PageSizeIsBounded(t *testing.T) {
	t.Parallel()
	rdb, _ := redistest.Shared(t)
	client := asynq.NewClientFromRedisClient(rdb)
	for range maxPageSize + 5 {
		if _, err := client.Enqueue(asynq.NewTask("pin:status", nil, asynq.Queue(tasks.QueueRefresh))); err != nil {
			t.Fatalf("enqueue: %v", err)
		}
	}
	s := newServer(t, Config{Redis: rdb})
	for size, want := range map[string]int{"1000000000": maxPageSize, "-5": 1, "7": 7, "x": 20} {
		res := ask(t, s, http.MethodGet, "/api/queues/refresh/pending_tasks?page=1&size="+size)
		var answer struct{ Tasks []any }
		if err := json.Unmarshal([]byte(bodyOf(t, res)), &answer); err != nil {
			t.Fatalf("size %s: %v", size, err)
		}
		if len(answer.Tasks) != want {
			t.Errorf("size %s: %d tasks, want %d", size, len(answer.Tasks), want)
		}
	}
}

func TestAPI_ActionsWorkOnlyWhenAllowed(t *testing.T) {
	t.Parallel()
	rdb, _ := redistest.Shared(t)
	client, inspector := asynq.NewClientFromRedisClient(rdb), asynq.NewInspectorFromRedisClient(rdb)
	if _, err := client.Enqueue(asynq.NewTask("pin:status", nil, asynq.Queue(tasks.QueueRefresh), asynq.TaskID("a"))); err != nil {
		t.Fatalf("enqueue: %v", err)
	}
	paused := func() bool {
		info, err := inspector.GetQueueInfo(tasks.QueueRefresh)
		if err != nil {
			t.Fatalf("queue info: %v", err)
		}
		return info.Paused
	}
	const pause = "/api/queues/refresh:pause"
	own := withHeader("Sec-Fetch-Site", "same-origin")

	shows := newServer(t, Config{Redis: rdb})
	wantStatus(t, "read-only", ask(t, shows, http.MethodPost, pause, own), http.StatusMethodNotAllowed)
	acts := newServer(t, Config{Redis: rdb, AllowActions: true})
	wantStatus(t, "foreign", ask(t, acts, http.MethodPost, pause, withHeader("Origin", "https://evil.example")), http.StatusForbidden)
	if paused() {
		t.Fatal("the queue is paused after refused calls")
	}
	wantStatus(t, "allowed", ask(t, acts, http.MethodPost, pause, own), http.StatusNoContent)
	if !paused() {
		t.Error("the queue is not paused after an allowed call")
	}
	wantStatus(t, "delete", ask(t, acts, http.MethodDelete, "/api/queues/refresh/pending_tasks/a", own), http.StatusNoContent)
	wantStatus(t, "no such call", ask(t, acts, http.MethodPost, "/api/nowhere", own), http.StatusNotFound)
}
