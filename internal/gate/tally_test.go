package gate

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTally_KeepsTheLatestSlotsOnly(t *testing.T) {
	t.Parallel()
	const slot = 250 * time.Millisecond
	start := time.Now()
	c := tally{slot: slot}
	c.add(start, Worked)
	for range 3 {
		c.add(start.Add(30*slot), Worked)
	}
	c.add(start.Add(45*slot), Failed)
	c.add(start.Add(45*slot), Worked)
	want := []any{int64(0), 1, 1, int64(15), 3, 0}
	if diff := cmp.Diff(want, c.take(start.Add(45*slot+slot/2)), cmp.Transformer("sorted", byAge)); diff != "" {
		t.Errorf("age, ok and bad of each slot (-want +got):\n%s", diff)
	}
	if got := c.take(start.Add(45 * slot)); got != nil {
		t.Errorf("taken twice: %v, want nothing", got)
	}
}

// byAge makes a map of what take returns.
func byAge(counts []any) map[any][2]any {
	out := map[any][2]any{}
	for i := 0; i+2 < len(counts); i += 3 {
		out[counts[i]] = [2]any{counts[i+1], counts[i+2]}
	}
	return out
}
