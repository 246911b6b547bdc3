package faults

import (
	"testing"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/tasks"
)

func TestEnds_WhatHasNotEndedInTimeIsNotGone(t *testing.T) {
	t.Parallel()
	rdb, _ := redistest.Shared(t)
	client, err := enqueue.New(rdb, enqueue.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	acc, err := client.UnblockPIN(t.Context(), "103169946")
	if err != nil {
		t.Fatal(err)
	}
	asked := make([]request, 2)
	asked[0].ID = acc.ID
	asked[1].ID = "cw05-01KAJ4S7Q0Z5M2E8H6N3T9RXVB"
	got := ends(t, client, asked, 0)
	if op, ok := got[acc.ID]; !ok || op.State != tasks.Accepted {
		t.Errorf("ends = %v, want the operation that waits for a worker", got)
	}
	if _, ok := got[asked[1].ID]; ok {
		t.Errorf("ends = %v, want nothing of the one that is gone", got)
	}
}
