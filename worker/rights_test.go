package worker

import (
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/redistest"
)

func TestStart_IsRefusedToAUserWhoMayNotWork(t *testing.T) {
	t.Parallel()
	for name, rights := range map[string][]string{
		"reads asynq":               {"~asynq:*", "~cardworker:*", "&*", "+@all", "-lrem", "-zrem"},
		"puts tasks into queues":    {"~asynq:{confirm}:pending", "~asynq:{unblock}:pending", "~asynq:{refresh}:pending", "~cardworker:*", "&*", "+@all"},
		"sees no operations":        {"~asynq:*", "&*", "+@all"},
		"shares no rate":            {"~asynq:*", "~cardworker:{cw??}:*", "&*", "+@all"},
		"shares a rate alone":       {"~asynq:*", "~cardworker:{cw??}:*", "~cardworker:{gate}:rate", "&*", "+@all"},
		"hears of no breaker":       {"~*", "resetchannels", "&asynq:cancel", "&cardworker:bell:*", "&cardworker:{cw*", "+@all"},
		"may not hear of anything":  {"~*", "resetchannels", "+@all"},
		"may not run scripts":       {"~*", "&*", "+@all", "-@scripting"},
		"works on some queues only": {"~asynq:{unblock}:*", "~cardworker:*", "&*", "+@all"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			args := []any{"ACL", "SETUSER", "app", "on", ">secret"}
			for _, right := range rights {
				args = append(args, right)
			}
			if err := server.Client(t).Do(t.Context(), args...).Err(); err != nil {
				t.Fatalf("ACL SETUSER: %v", err)
			}
			r := rigOn(t, "redis://app:secret@"+server.Addr+"/0")
			err := r.idle(&fakeAPI{}).Start(t.Context())
			if !forbidden(err) {
				t.Errorf("Start = %v, want the refusal of Redis", err)
			}
			if strings.Contains(r.log.String(), "worker started") {
				t.Errorf("the log says that the worker started:\n%s", r.log)
			}
		})
	}
}

func TestStart_TheCheckOfRightsLeavesNothingAndLetsWorkersStart(t *testing.T) {
	t.Parallel()
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		r := rigOn(t, redistest.StartCluster(t, 3).URL())
		r.work(&fakeAPI{})
	})
	t.Run("a Redis that refuses writes for now", func(t *testing.T) {
		t.Parallel()
		r := rigOn(t, redistest.Start(t, "--min-replicas-to-write", "1").URL())
		if err := checkRights(t.Context(), r.rdb); err != nil {
			t.Errorf("checkRights = %v, want nil: that passes", err)
		}
	})
	onEachRedis(t, func(t *testing.T, r *rig) {
		t.Helper()
		held := redis.Z{Score: 1, Member: "held"}
		const lease, active = "asynq:{unblock}:lease", "asynq:{unblock}:active"
		if err := r.rdb.ZAdd(t.Context(), lease, held).Err(); err != nil {
			t.Fatal(err)
		}
		if err := r.rdb.LPush(t.Context(), active, "held").Err(); err != nil {
			t.Fatal(err)
		}
		const rate, state = "cardworker:{gate}:rate", "cardworker:{gate}:state"
		if err := r.rdb.Set(t.Context(), rate, "1", 0).Err(); err != nil {
			t.Fatal(err)
		}
		if err := checkRights(t.Context(), r.rdb); err != nil {
			t.Errorf("checkRights = %v, want nil", err)
		}
		if got, n := r.rdb.Get(t.Context(), rate).Val(), r.rdb.Exists(t.Context(), state).Val(); got != "1" || n != 0 {
			t.Errorf("the next moment of the rate is %q and there are %d states, want 1 and none as before", got, n)
		}
		if n, m := r.rdb.ZCard(t.Context(), lease).Val(), r.rdb.LLen(t.Context(), active).Val(); n != 1 || m != 1 {
			t.Errorf("there are %d leases and %d active tasks, want one of each as before", n, m)
		}
	})
}
