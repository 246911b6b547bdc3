package opstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/coalesce"
	"github.com/cardworker/cardworker/tasks"
)

// Defaults of [Config].
const (
	DefaultUnblockLimit = 5
	DefaultResultTTL    = 24 * time.Hour
	DefaultLease        = 3 * time.Second
	DefaultGrace        = 1500 * time.Millisecond
)

// IdempotencyWindow is how long an idempotency key keeps naming its operation.
const IdempotencyWindow = 24 * time.Hour

// LimitWindow is the time over which accepted unblocks are counted.
const LimitWindow = 24 * time.Hour

// Config says how long things are kept and how much is let through. The zero value of each field means
// its default. Producers and workers of one Redis should agree on it.
type Config struct {
	// UnblockLimit is how many unblocks of one kind are accepted for one card in 24 hours. Negative
	// means no limit.
	UnblockLimit int
	// ResultTTL is how long an operation can be read after its end. One that an idempotency key names
	// stays until the key's 24 hours are over.
	ResultTTL time.Duration
	// Lease is how long a worker's right to act lasts unless it is extended. It bounds how soon the work
	// of a killed worker goes on.
	Lease time.Duration
	// Grace is how long an operation may be without its task before recovery looks for it.
	Grace time.Duration
	// Durability is what Accept and Redrive wait for before they return. Empty means [InMemory], which is
	// nothing more. What workers write is never waited for.
	Durability Durability
}

func (c Config) withDefaults() Config {
	if c.UnblockLimit == 0 {
		c.UnblockLimit = DefaultUnblockLimit
	}
	if c.ResultTTL == 0 {
		c.ResultTTL = DefaultResultTTL
	}
	if c.Lease == 0 {
		c.Lease = DefaultLease
	}
	if c.Grace == 0 {
		c.Grace = DefaultGrace
	}
	if c.Durability == "" {
		c.Durability = InMemory
	}
	return c
}

// What the store answers when it cannot do what was asked. Errors that wrap none of these come from
// Redis or the way to it.
var (
	// ErrNotFound: there is no such operation, or it is no longer kept.
	ErrNotFound = errors.New("no such operation")
	// ErrStale: the caller's fence was superseded, or the operation has ended. Whatever it wanted to
	// write must not be written.
	ErrStale = errors.New("superseded")
)

// Store is the operation store. It is safe for concurrent use.
type Store struct {
	rdb   redis.UniversalClient
	cfg   Config
	name  string // of this store among all
	calls atomic.Uint64
	apart atomic.Bool

	accepts *coalesce.Lane[*accepting]
	settling
}

// Apart reports whether the store's scripts cannot write what is asynq's, because that may lie on another server: the
// client spreads the keys over several, or Redis has turned out to be a cluster.
func (s *Store) Apart() bool { return s.apart.Load() }

// isApart reports whether Redis has refused a script because its keys are not in one slot. Nothing was done then, and
// the store is Apart from then on.
func (s *Store) isApart(err error) bool {
	if !redis.HasErrorPrefix(err, "CROSSSLOT") {
		return false
	}
	s.apart.Store(true)
	return true
}

// callNumber returns a number that no other call has, of this store or another. go-redis repeats a
// command whose reply it lost; by its number a script knows that it has run before.
func (s *Store) callNumber() string { return s.name + strconv.FormatUint(s.calls.Add(1), 36) }

// New returns a store on rdb, which stays the caller's to close.
func New(rdb redis.UniversalClient, cfg Config) *Store {
	s := &Store{rdb: rdb, cfg: cfg.withDefaults(), name: rand.Text()[:12] + "-"}
	s.apart.Store(!coalesce.AnyKeys(rdb))
	s.accepts = coalesce.NewLane(s.acceptOne, s.acceptAll)
	return s
}

// Lease returns how long a lease lasts.
func (s *Store) Lease() time.Duration { return s.cfg.Lease }

// auditKeep is how long events are kept: as long as the results they belong to, and a day at least.
func (s *Store) auditKeep() int64 {
	return max(s.cfg.ResultTTL, 24*time.Hour).Milliseconds()
}

// Get reads an operation. The error wraps [ErrNotFound] when there is none.
func (s *Store) Get(ctx context.Context, id string) (Record, error) {
	if !tasks.ValidID(id) {
		return Record{}, fmt.Errorf("%w: %q is not an operation id", ErrNotFound, printable(id))
	}
	// Thousands may be woken at the same time, so they read together.
	read := redis.NewSliceCmd(ctx, readArgs(id)...)
	err := coalesce.Send(ctx, s.rdb, opKey(id), read)
	if err == nil {
		err = read.Err()
	}
	if err != nil {
		return Record{}, fmt.Errorf("read operation %s: %w", id, err)
	}
	values := read.Val()
	if values[fieldState] == nil {
		return Record{}, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	return parseRecord(values)
}

// readArgs is the command that reads a record.
func readArgs(id string) []any {
	args := []any{"hmget", opKey(id)}
	for _, name := range fieldNames {
		args = append(args, name)
	}
	return args
}

// printable cuts what somebody gave as an id to something an error may repeat.
func printable(id string) string {
	const most = 40
	digits := 0
	for _, c := range id {
		if c >= '0' && c <= '9' {
			digits++
		}
	}
	if len(id) > most || digits >= 6 {
		return fmt.Sprintf("(%d characters)", len(id))
	}
	return id
}

// runScript runs a script and returns its reply as a list whose first element is the outcome.
func runScript(ctx context.Context, rdb redis.Scripter, sc *redis.Script, keys []string, args ...any) (reply, error) {
	v, err := sc.Run(ctx, rdb, keys, args...).Slice()
	if err != nil {
		return reply{}, err
	}
	return parseReply(v)
}
