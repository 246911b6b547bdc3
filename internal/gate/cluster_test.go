package gate

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/redistest"
)

// The stages are one after the other, on the same three masters: a cluster takes seconds to form.
func TestCluster_HoldsTheSame(t *testing.T) {
	t.Parallel()
	rdb := redistest.StartCluster(t, 3).Client(t)
	for _, stage := range []struct {
		name string
		test func(*testing.T, redis.UniversalClient)
	}{
		{"failures add up", failuresAddUp},
		{"the breaker stays open longer", staysOpenLonger},
		{"one probe in the fleet", oneProbe},
		{"nobody calls during a hold", nobodyCalls},
		{"the rate", withinTheRate},
	} {
		if err := rdb.Del(t.Context(), stateKey, windowKey, probeKey, rateKey).Err(); err != nil {
			t.Fatalf("DEL: %v", err)
		}
		t.Run(stage.name, func(t *testing.T) { stage.test(t, rdb) })
	}
}
