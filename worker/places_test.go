package worker

import (
	"context"
	"fmt"
	"testing"

	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/tasks"
)

// newReader returns an API whose status reads wait for open, but for those of one card.
func newReader(prompt string) doorman {
	d := doorman{&fakeAPI{}, make(chan struct{}, 100), make(chan struct{})}
	d.status = func(_ context.Context, c fakeCall) (payblr.Status, error) {
		if c.Token != prompt {
			d.entered <- struct{}{}
			<-d.open
		}
		return d.card(c), nil
	}
	return d
}

func TestPlaces_UnblocksUseAllAndRefreshesHalf(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		kind           tasks.Kind
		places, wanted int
	}{
		{tasks.UnblockPIN, 10, 10},
		{tasks.UnblockCVV, 1, 1},
		{tasks.RefreshPINStatus, 10, 5},
		{tasks.RefreshCVVStatus, 33, 17},
		{tasks.RefreshPINStatus, 1, 1},
	} {
		t.Run(fmt.Sprintf("%s with %d", tc.kind, tc.places), func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			const prompt = "50"
			api := newReader(prompt)
			if tc.kind.Unblocks() {
				api = newDoorman(false)
			}
			r.work(api, func(c *Config) { c.Concurrency = tc.places })
			var ids []string
			for i := range 2 * tc.places {
				ids = append(ids, r.accept(tc.kind, fmt.Sprint(100+i)).ID)
			}
			for range tc.wanted {
				receive(t, "a call is under way", api.entered)
			}
			// One more would have to be taken by now: something else runs all the way through.
			if tc.places > 1 && !tc.kind.Unblocks() {
				wantEnd(t, r.run(tasks.UnblockPIN, prompt), "")
			}
			if n := len(api.entered); n != 0 {
				t.Errorf("%d calls more than %d are under way", n, tc.wanted)
			}
			close(api.open)
			for _, id := range ids {
				wantEnd(t, r.wait(id), "")
			}
		})
	}
}
