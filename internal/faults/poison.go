package faults

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hibiken/asynq"

	"github.com/cardworker/cardworker/tasks"
)

// poison is a payload that can never succeed. Most are archived; one that must not be kept is deleted, and one
// of a newer release is tried again and again, since that release may come.
type poison struct {
	payload string
	fate    fate
}

type fate int

const (
	archived fate = iota
	deleted
	triedAgain
)

// poisons are unreadable, empty, large, deep, about nothing, and about a card number.
var poisons = []poison{
	{payload: "not JSON"},
	{payload: ""},
	{payload: `{"version":1}`},
	{payload: `{"version":1,"operation_id":"cw99-nonsense"}`},
	{payload: `{"version":1,"operation_id":"cw05-01KAJ4S7Q0Z5M2E8H6N3T9RXVB"}`},
	{payload: `{"version":1,"operation_id":"` + strings.Repeat("x", 64<<10) + `"}`},
	{payload: strings.Repeat("[", 10_000)},
	{payload: "\x00\xff\xfe"},
	{payload: `{"version":1,"public_token":"4111111111111111"}`, fate: deleted},
}

// hugePoisons are of megabytes.
var hugePoisons = []poison{
	{payload: `{"version":1,"operation_id":"` + strings.Repeat("x", 4<<20) + `"}`},
	{payload: strings.Repeat(`{"a":`, 1<<19)},
}

// neverComes puts n tasks into the queues that no release will ever read.
func (r *run) neverComes(n int) {
	payload := fmt.Sprintf(`{"version":%d,"operation_id":"cw05-01KAJ4S7Q0Z5M2E8H6N3T9RXVB"}`, tasks.PayloadVersion+1000)
	r.poison(n, []poison{{payload: payload, fate: triedAgain}})
}

// poison puts n such tasks into the queues.
func (r *run) poison(n int, of []poison) {
	r.t.Helper()
	if r.poisonBegan.IsZero() {
		r.poisonBegan = time.Now()
	}
	client := asynq.NewClientFromRedisClient(r.backend.direct.New("poison"))
	types := tasks.Types()
	for i := range n {
		t, poison := types[i%len(types)], of[i%len(of)]
		task := asynq.NewTask(string(t), []byte(poison.payload))
		_, err := client.EnqueueContext(r.t.Context(), task, asynq.Queue(t.Policy().Queue), asynq.TaskID(fmt.Sprintf("poison-%d", len(r.poisoned))))
		if err != nil {
			r.t.Errorf("poison a queue: %v", err)
			return
		}
		r.poisoned = append(r.poisoned, poison)
	}
}

// putAsideWithin is how long the last poison may take: a worker that nobody rings for looks once a second.
const putAsideWithin = 5 * time.Second

// poisonLeft says what is wrong when the poison is not all put aside in time, or "".
func (r *run) poisonLeft() (what string) {
	ctx, cancel := context.WithTimeout(r.t.Context(), putAsideWithin)
	defer cancel()
	for every(ctx, 100*time.Millisecond) {
		if what = r.poisonNow(); what == "" {
			return ""
		}
	}
	return what
}

// poisonNow says which poison is not put aside yet, or "".
func (r *run) poisonNow() string {
	want := map[fate]int{}
	for _, p := range r.poisoned {
		want[p.fate]++
	}
	aside, waiting, elsewhere := 0, 0, ""
	inspector := asynq.NewInspectorFromRedisClient(r.backend.direct.Client)
	for _, q := range tasks.Queues() {
		info, err := inspector.GetQueueInfo(q)
		if err != nil {
			return err.Error()
		}
		aside += info.Archived
		waiting += info.Size - info.Archived
		if info.Size != info.Archived {
			elsewhere += fmt.Sprintf("; %s: %d pending, %d active, %d scheduled, %d to retry", q, info.Pending, info.Active, info.Scheduled, info.Retry)
		}
	}
	if aside != want[archived] || waiting != want[triedAgain] || len(r.poisoned) == 0 {
		return fmt.Sprintf("%d tasks are archived, want %d of %d, and %d others, want %d%s",
			aside, want[archived], len(r.poisoned), waiting, want[triedAgain], elsewhere)
	}
	return ""
}
