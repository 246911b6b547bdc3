package coalesce

import (
	"fmt"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/redistest"
)

// BenchmarkEvalSha compares a coalescing client with a plain one. An op is one script.
func BenchmarkEvalSha(b *testing.B) {
	rdb, _ := redistest.Shared(b)
	sha, err := rdb.ScriptLoad(b.Context(), echo).Result()
	if err != nil {
		b.Fatalf("SCRIPT LOAD: %v", err)
	}
	for _, callers := range []int{1, 16, 256} {
		for _, client := range []struct {
			name string
			redis.UniversalClient
		}{{"plain", rdb}, {"coalesced", New(rdb)}} {
			b.Run(fmt.Sprintf("%s/%d-callers", client.name, callers), func(b *testing.B) {
				b.ReportAllocs()
				var all sync.WaitGroup
				for i := range callers {
					n := b.N / callers
					if i < b.N%callers {
						n++
					}
					all.Go(func() {
						for range n {
							if err := client.EvalSha(b.Context(), sha, []string{"{k}"}, "argument").Err(); err != nil {
								b.Errorf("EvalSha: %v", err)
								return
							}
						}
					})
				}
				all.Wait()
			})
		}
	}
}
