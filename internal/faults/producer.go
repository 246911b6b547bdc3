package faults

import (
	"bytes"
	"os/exec"
	"time"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/internal/audit"
	"github.com/cardworker/cardworker/internal/failpoint"
	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/tasks"
)

// crashProducers has n producers die between the record of an operation and its task. Each is the command
// that users run, with a failpoint.
func (r *run) crashProducers(n int, point failpoint.Point) {
	r.t.Helper()
	for range n {
		q := audit.Request{Kind: tasks.UnblockPIN, Card: r.newCard()}
		var out bytes.Buffer
		//nolint:gosec // G204: the binary was just built.
		cmd := exec.CommandContext(r.t.Context(), binaryFor(r.t, interruptible),
			"unblock", "pin", q.Card, "--expires-in", r.sc.Expiry.String())
		cmd.Env = append([]string{failpoint.Env + "=" + string(point) + ":1=kill"}, r.fleet.env...)
		cmd.Stdout, cmd.Stderr = &out, &out
		cmd.SysProcAttr = redistest.DieWithParent()
		err := cmd.Run()
		died := time.Now()
		if err == nil || !bytes.Contains(out.Bytes(), []byte("failpoint "+string(point)+": kill")) {
			r.t.Errorf("a producer did not die at %s: %v\n%s", point, err, out.Bytes())
			return
		}
		// Who asks without a key joins what is open, which enqueues nothing, and so learns its id.
		acc, err := r.load.client.Accept(r.t.Context(), q.Kind, q.Card, enqueue.ExpiresIn(r.sc.Expiry))
		if err != nil || !acc.Joined {
			r.t.Errorf("what a dead producer had recorded was not there to be joined: %v", err)
			return
		}
		q.ID = acc.ID
		r.load.accepted(q)
		r.kills = append(r.kills, kill{died, []string{q.ID}})
	}
}

// newCard makes a card that no operation of the load is for.
func (r *run) newCard() string {
	r.cards++
	card := cardOf(9_000_000 + r.cards)
	r.api.card(r.t, card)
	return card
}
