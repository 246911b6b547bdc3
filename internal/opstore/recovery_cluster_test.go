package opstore

import (
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/coalesce"
	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/tasks"
)

// A node of a cluster that is silent, or gone, keeps back its own operations alone.
func TestDue_FindsWhatIsOnTheOtherNodesOfACluster(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*redistest.Server){
		"silent": func(s *redistest.Server) { s.Freeze(t) },
		"gone":   (*redistest.Server).Kill,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := redistest.StartCluster(t, 3)
			for _, node := range cluster.Nodes {
				if err := node.Client(t).ConfigSet(t.Context(), "cluster-require-full-coverage", "no").Err(); err != nil {
					t.Fatal(err)
				}
			}
			rdb := cluster.Client(t).(*redis.ClusterClient)
			f := newFixture(t, coalesce.New(rdb)) // As workers have it.
			lost := cluster.Nodes[1]
			reachable := map[string]bool{}
			for range 60 {
				rec := f.open(tasks.UnblockPIN)
				f.overdue(rec)
				node, err := rdb.MasterForKey(t.Context(), opKey(rec.ID))
				if err != nil {
					t.Fatal(err)
				}
				reachable[rec.ID] = node.Options().Addr != lost.Addr
			}
			lose(lost)
			start := time.Now()
			ids, now, err := f.store.Due(t.Context(), all)
			if took := time.Since(start); took > 10*shardTimeout {
				t.Errorf("Due took %s, want about %s", took, shardTimeout)
			}
			if err == nil || now.IsZero() {
				t.Errorf("Due = time %s, error %v, want a time and an error", now, err)
			}
			for id, want := range reachable {
				if got := slices.Contains(ids, id); got != want {
					t.Errorf("%s: due %v, want %v", id, got, want)
				}
			}
		})
	}
}
