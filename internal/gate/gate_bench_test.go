package gate

import (
	"testing"
	"time"

	"github.com/cardworker/cardworker/internal/redistest"
)

// One call while all is well: no allocation and no way to Redis.
func BenchmarkGate_ACallWhileAllIsWell(b *testing.B) {
	rdb, _ := redistest.Shared(b)
	g := New(rdb, Config{})
	defer func() {
		if err := g.Close(); err != nil {
			b.Errorf("close: %v", err)
		}
	}()
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if err := g.Wait(b.Context()); err != nil {
				b.Fatal(err)
			}
			g.Observe(Outcome{Result: Worked, Took: time.Millisecond})
		}
	})
}
