package opstore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/redisconn"
	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/tasks"
)

func TestMain(m *testing.M) {
	redisconn.SetLogger(nil) // The tests that take Redis away know that it is gone.
	redistest.Main(m)
}

// patience is how long something that happens by itself may take before a test gives up on it.
const patience = 20 * time.Second

// fixture is a store on some Redis that other tests may use at the same time. Tests keep apart by using
// cards that nobody else has.
type fixture struct {
	testing.TB
	rdb   redis.UniversalClient
	store *Store
}

func newFixture(t testing.TB, rdb redis.UniversalClient) fixture {
	return fixture{TB: t, rdb: rdb}.withClient(rdb)
}

// with returns the fixture with another configuration of the store.
func (f fixture) with(cfg Config) fixture {
	f.store = New(f.rdb, cfg)
	return f
}

// withClient returns the fixture with a store on another client.
func (f fixture) withClient(rdb redis.UniversalClient) fixture {
	f.store = New(rdb, Config{})
	f.store.apart.Store(false) // The tests give asynq's tasks keys in the slot of their operation.
	return f
}

var cards atomic.Int64

// card returns a card that no other test uses. Its token does not occur in anything by chance.
func card(t testing.TB) tasks.PublicToken {
	t.Helper()
	token, err := tasks.ParsePublicToken(fmt.Sprintf("Zq%06dX", cards.Add(1)))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func idemKeyOf(t testing.TB) string { return fmt.Sprintf("%s-%d", t.Name(), rand.Uint64()) }

func (f fixture) accept(req Request) Accepted {
	f.Helper()
	if req.Lifetime == 0 {
		req.Lifetime = time.Minute
	}
	acc, err := f.store.Accept(f.Context(), req)
	if err != nil {
		f.Fatalf("Accept = %v", err)
	}
	return acc
}

// open accepts an operation for a card of its own.
func (f fixture) open(kind tasks.Kind) Record {
	f.Helper()
	return f.accept(Request{Kind: kind, Card: card(f)}).Record
}

func (f fixture) begin(rec Record, held Lease) Begun {
	f.Helper()
	return f.beginAs(fmt.Sprintf("run %d", runs.Add(1)), rec, held)
}

// runs numbers the runs: each begin is one of its own unless a test says otherwise.
var runs atomic.Int64

func (f fixture) beginAs(run string, rec Record, held Lease) Begun {
	f.Helper()
	b, err := f.store.Begin(f.Context(), rec.TaskType, rec.ID, rec.Seq, run, held)
	if err != nil {
		f.Fatalf("Begin = %v", err)
	}
	return b
}

// begun begins an operation and fails the test unless the outcome is want.
func (f fixture) begun(rec Record, held Lease, want Outcome) Begun {
	f.Helper()
	b := f.begin(rec, held)
	if b.Outcome != want {
		f.Fatalf("Begin = %s, want %s", b.Outcome, want)
	}
	return b
}

func (f fixture) get(id string) Record {
	f.Helper()
	rec, err := f.store.Get(f.Context(), id)
	if err != nil {
		f.Fatalf("Get = %v", err)
	}
	return rec
}

func (f fixture) finish(b Begun, res Result) Record {
	f.Helper()
	rec, err := f.store.Finish(f.Context(), b.Lease, b.Record, res)
	if err != nil {
		f.Fatalf("Finish = %v", err)
	}
	return rec
}

// done takes an operation to its end in one go.
func (f fixture) done(rec Record, res Result) Record {
	f.Helper()
	return f.finish(f.begun(rec, Lease{}, Go), res)
}

func (f fixture) now() time.Time {
	f.Helper()
	now, err := f.rdb.Time(f.Context()).Result()
	if err != nil {
		f.Fatal(err)
	}
	return now
}

// past sets a time of a record so that it lies in the past, as if that much time had gone by.
func (f fixture) past(id, field string) {
	f.Helper()
	f.set(id, field, f.now().Add(-time.Millisecond).UnixMilli())
	if field == "lease_ms" {
		f.zadd(leasedKey(tasks.ShardOf(id)), id, -time.Millisecond)
	}
}

func (f fixture) set(id, field string, v any) {
	f.Helper()
	if err := f.rdb.HSet(f.Context(), opKey(id), field, v).Err(); err != nil {
		f.Fatal(err)
	}
}

// zadd gives a member of an index a score that lies d from now.
func (f fixture) zadd(key, member string, d time.Duration) {
	f.Helper()
	score := float64(f.now().Add(d).UnixMilli())
	if err := f.rdb.ZAdd(f.Context(), key, redis.Z{Score: score, Member: member}).Err(); err != nil {
		f.Fatal(err)
	}
}

// raw returns everything that the store has of an operation besides its events: the record and the
// scores in the indexes.
func (f fixture) raw(rec Record) map[string]string {
	f.Helper()
	all, err := f.rdb.HGetAll(f.Context(), opKey(rec.ID)).Result()
	if err != nil {
		f.Fatal(err)
	}
	shard := tasks.ShardOf(rec.ID)
	for name, key := range map[string]string{"leased": leasedKey(shard), "waiting": waitingKey(shard, rec.Kind)} {
		score, err := f.rdb.ZScore(f.Context(), key, rec.ID).Result()
		switch err {
		case nil:
			all["index "+name] = fmt.Sprintf("%.0f", score)
		case redis.Nil:
		default:
			f.Fatal(err)
		}
	}
	lock, err := f.rdb.Get(f.Context(), lockKey(rec.Token, rec.Kind)).Result()
	if err != nil && err != redis.Nil {
		f.Fatal(err)
	}
	all["lock"] = lock
	return all
}

func (f fixture) indexed(rec Record) (leased, waiting bool) {
	f.Helper()
	raw := f.raw(rec)
	_, leased = raw["index leased"]
	_, waiting = raw["index waiting"]
	return leased, waiting
}

// eventually waits for something that happens by itself.
func eventually(t testing.TB, what string, happened func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !happened() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// receive waits for a channel.
func receive[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("%s: not within %s", what, patience)
		panic("unreachable")
	}
}

func unblocked() *tasks.Status {
	three := 3
	return &tasks.Status{Value: "Unblocked", RemainingTries: &three}
}

func failure(code tasks.Code) *tasks.Error {
	return &tasks.Error{Code: code, Message: "as the test wants it", Retryable: code.Retryable()}
}

func near(got, want time.Time) bool { return got.Sub(want).Abs() < 5*time.Second }
