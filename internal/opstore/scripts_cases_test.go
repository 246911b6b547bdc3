package opstore

import (
	"testing"
	"time"

	"github.com/cardworker/cardworker/internal/doorbell"
	"github.com/cardworker/cardworker/tasks"
)

// arrange brings an accepted operation to where a script gives one outcome, and returns its keys and
// arguments.
type arrange func(t *testing.T, f fixture, rec Record) (keys []string, args []any)

const dayMillis = 24 * 60 * 60 * 1000

// shardKeys returns the key of the record and those of the named indexes.
func shardKeys(rec Record, names ...string) []string {
	shard := tasks.ShardOf(rec.ID)
	keys := []string{opKey(rec.ID)}
	for _, n := range names {
		keys = append(keys, map[string]string{
			"leased": leasedKey(shard), "waiting": waitingKey(shard, rec.Kind), "audit": auditKey(shard),
			"lock": lockKey(rec.Token, rec.Kind), "limit": limitKey(rec.Token, rec.Kind), "joined": joinedKey(rec.ID),
		}[n])
	}
	return keys
}

func acceptCall(rec Record, limit int) ([]string, []any) {
	return shardKeys(rec, "lock", "limit", "waiting", "audit", "joined", "leased"), []any{
		rec.ID, "unblock_pin", rec.Token.Reveal(), 60_000, 0, limit, dayMillis,
		"pin:unblock", "unblock", rec.ID + ":1", 1500, opPrefix(tasks.ShardOf(rec.ID)), 0, dayMillis, 1000, "", 0, "",
	}
}

func acceptAllCall(rec Record, limit int) ([]string, []any) {
	task := nextOf(Lease{ID: rec.ID})
	_, pending, _ := task.Waiting()
	return []string{pending, opKey(rec.ID)}, []any{
		"unblock_pin", 60_000, limit, dayMillis, "pin:unblock", "unblock", 1500, dayMillis, 1, "a bell",
		doorbell.TaskPrefix(task.Queue), prefix, "waiting:urgent", 1000, 0,
		rec.ID, rec.Token.Reveal(), rec.Token.Digest(), task.Message, "",
	}
}

func beginCall(rec Record, seq, fence int64) ([]string, []any) {
	return shardKeys(rec, "leased", "waiting", "audit"), []any{rec.ID, seq, "test", 3000, fence, "1", "1", "call-1", "pin:unblock"}
}

func yieldCall(rec Record, fence int64) ([]string, []any) {
	return shardKeys(rec, "leased", "waiting", "audit"), []any{rec.ID, fence, "1", 0, 1500, "", "0", "", "", "retry", "0", "1"}
}

func chainCall(rec Record, fence int64) ([]string, []any) {
	return shardKeys(rec, "leased", "waiting", "audit"), []any{rec.ID, fence, "pin:confirm", "confirm", 1500}
}

func handoverCall(rec Record, seq, fence int64) ([]string, []any) {
	l := Lease{ID: rec.ID, Seq: seq, Fence: fence}
	task := nextOf(l)
	key, paused, active, leases, _ := task.Taken()
	return append(shardKeys(rec, "leased", "waiting", "audit"), key, paused, active, leases),
		[]any{rec.ID, fence, "pin:confirm", "confirm", task.ID, task.Message, 1, "test", 3000, "call-1"}
}

func finishCall(rec Record, fence int64) ([]string, []any) {
	return shardKeys(rec, "lock", "leased", "waiting", "audit"), []any{rec.ID, fence, "succeeded", encodeStatus(unblocked()), "", "0", 1000, dayMillis, "", ""}
}

func postponeCall(rec Record, seq int64) ([]string, []any) {
	return shardKeys(rec, "leased", "waiting"), []any{rec.ID, seq, 0, 1000, "0"}
}

func redispatchCall(rec Record, seq int64) ([]string, []any) {
	return shardKeys(rec, "leased", "waiting", "audit"), []any{rec.ID, seq, 0, "unblock", 1500}
}

func redriveCall(rec Record, limit int) ([]string, []any) {
	return shardKeys(rec, "lock", "limit", "waiting", "audit"), []any{
		rec.ID, 60_000, limit, dayMillis, "pin:unblock", "unblock", "pin:confirm", "confirm", 1500, dayMillis,
		opPrefix(tasks.ShardOf(rec.ID)), "still_blocked",
	}
}

// failed ends the operation, so that it can be driven again.
func failed(_ *testing.T, f fixture, rec Record) Record {
	f.Helper()
	return f.done(rec, Result{Error: failure(tasks.CodeUnavailable)})
}

// scriptCases has, for each script and each outcome that its head promises, how to come to it.
var scriptCases = map[string]map[string]arrange{
	"accept": {
		"created": func(t *testing.T, f fixture, _ Record) ([]string, []any) {
			c := card(t)
			return acceptCall(Record{ID: NewID(c), Kind: tasks.UnblockPIN, Token: c}, 1)
		},
		"exists": func(_ *testing.T, _ fixture, rec Record) ([]string, []any) { return acceptCall(rec, 1) },
		"joined": func(_ *testing.T, _ fixture, rec Record) ([]string, []any) {
			rec.ID = NewID(rec.Token)
			return acceptCall(rec, 1)
		},
		"limit": func(t *testing.T, f fixture, rec Record) ([]string, []any) {
			failed(t, f, rec)
			rec.ID = NewID(rec.Token)
			return acceptCall(rec, 1)
		},
	},
	"acceptall": {
		"done": func(t *testing.T, _ fixture, _ Record) ([]string, []any) {
			c := card(t)
			return acceptAllCall(Record{ID: NewID(c), Kind: tasks.UnblockPIN, Token: c}, 1)
		},
	},
	"begin": {
		"go": func(_ *testing.T, _ fixture, rec Record) ([]string, []any) { return beginCall(rec, 1, 0) },
		"early": func(_ *testing.T, f fixture, rec Record) ([]string, []any) {
			f.set(rec.ID, "next_ms", f.now().Add(time.Minute).UnixMilli())
			return beginCall(rec, 1, 0)
		},
		"expired": func(_ *testing.T, f fixture, rec Record) ([]string, []any) {
			f.past(rec.ID, "expires_ms")
			return beginCall(rec, 1, 0)
		},
		"done": func(t *testing.T, f fixture, rec Record) ([]string, []any) {
			failed(t, f, rec)
			return beginCall(rec, 1, 0)
		},
		"held": func(_ *testing.T, f fixture, rec Record) ([]string, []any) {
			f.begun(rec, Lease{}, Go)
			return beginCall(rec, 1, 0)
		},
		"stale": func(_ *testing.T, _ fixture, rec Record) ([]string, []any) { return beginCall(rec, 0, 0) },
		"mismatch": func(_ *testing.T, _ fixture, rec Record) ([]string, []any) {
			keys, args := beginCall(rec, 1, 0)
			return keys, append(args[:len(args)-1], "pin:status")
		},
		"missing": func(_ *testing.T, _ fixture, rec Record) ([]string, []any) {
			rec.ID = NewID(rec.Token)
			return beginCall(rec, 1, 0)
		},
	},
	"yield": {
		"ok": func(_ *testing.T, f fixture, rec Record) ([]string, []any) {
			return yieldCall(rec, f.begun(rec, Lease{}, Go).Lease.Fence)
		},
		"stale": func(_ *testing.T, _ fixture, rec Record) ([]string, []any) { return yieldCall(rec, 7) },
	},
	"chain": {
		"ok": func(_ *testing.T, f fixture, rec Record) ([]string, []any) {
			return chainCall(rec, f.begun(rec, Lease{}, Go).Lease.Fence)
		},
		"stale": func(_ *testing.T, _ fixture, rec Record) ([]string, []any) { return chainCall(rec, 7) },
	},
	"handover": {
		"go": func(_ *testing.T, f fixture, rec Record) ([]string, []any) {
			return handoverCall(rec, 1, f.begun(rec, Lease{}, Go).Lease.Fence)
		},
		"stale": func(_ *testing.T, _ fixture, rec Record) ([]string, []any) { return handoverCall(rec, 1, 7) },
		"elsewhere": func(_ *testing.T, f fixture, rec Record) ([]string, []any) {
			return handoverCall(rec, 6, f.begun(rec, Lease{}, Go).Lease.Fence)
		},
	},
	"finish": {
		"ok": func(_ *testing.T, f fixture, rec Record) ([]string, []any) {
			return finishCall(rec, f.begun(rec, Lease{}, Go).Lease.Fence)
		},
		"stale": func(_ *testing.T, _ fixture, rec Record) ([]string, []any) { return finishCall(rec, 7) },
	},
	"due": {
		"ok": func(_ *testing.T, _ fixture, rec Record) ([]string, []any) {
			return shardKeys(rec, "leased")[1:], []any{1}
		},
	},
	"postpone": {
		"ok":    func(_ *testing.T, _ fixture, rec Record) ([]string, []any) { return postponeCall(rec, 1) },
		"stale": func(_ *testing.T, _ fixture, rec Record) ([]string, []any) { return postponeCall(rec, 2) },
		"gone": func(t *testing.T, f fixture, rec Record) ([]string, []any) {
			failed(t, f, rec)
			return postponeCall(rec, 1)
		},
	},
	"redispatch": {
		"ok":    func(_ *testing.T, _ fixture, rec Record) ([]string, []any) { return redispatchCall(rec, 1) },
		"stale": func(_ *testing.T, _ fixture, rec Record) ([]string, []any) { return redispatchCall(rec, 2) },
	},
	"redrive": {
		"ok": func(t *testing.T, f fixture, rec Record) ([]string, []any) { return redriveCall(failed(t, f, rec), 0) },
		"missing": func(_ *testing.T, _ fixture, rec Record) ([]string, []any) {
			rec.ID = NewID(rec.Token)
			return redriveCall(rec, 0)
		},
		"not_failed": func(_ *testing.T, _ fixture, rec Record) ([]string, []any) { return redriveCall(rec, 0) },
		"busy": func(t *testing.T, f fixture, rec Record) ([]string, []any) {
			failed(t, f, rec)
			f.accept(Request{Kind: rec.Kind, Card: rec.Token})
			return redriveCall(rec, 0)
		},
		"limit": func(t *testing.T, f fixture, rec Record) ([]string, []any) { return redriveCall(failed(t, f, rec), 1) },
	},
}
