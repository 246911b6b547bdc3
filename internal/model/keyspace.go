package model

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Keyspace is what the Redis holds. It is safe for concurrent use; each command and each script is one
// step. Make one with [New].
type Keyspace struct {
	now     func() time.Time
	rewrite *strings.Replacer

	mu      sync.Mutex
	keys    map[string]any // string, map[string]string, zset, []string for a list, or []streamEntry
	expires map[string]int64
	sources map[string]string // scripts that were sent in full, by their digest
	failed  error             // of scripts
}

// Failed returns what scripts have failed of, nil when none has. Who sent one may have taken it for a Redis that cannot
// be reached.
func (k *Keyspace) Failed() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.failed
}

type zset map[string]float64

type streamEntry struct {
	id     string
	fields []string
}

// New returns an empty keyspace whose clock is now. A script's text goes through rewrite before it runs;
// nil leaves it as it is.
func New(now func() time.Time, rewrite *strings.Replacer) *Keyspace {
	return &Keyspace{now: now, rewrite: rewrite, keys: map[string]any{}, expires: map[string]int64{}, sources: map[string]string{}}
}

// Do runs one command that is not a script. It returns an int64, a string, nil, or a []any of these.
func (k *Keyspace) Do(args ...string) (any, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.do(args)
}

// Keys returns the names of the keys that exist, in order.
func (k *Keyspace) Keys() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var names []string
	for name := range k.keys {
		k.evict(name)
		if _, ok := k.keys[name]; ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (k *Keyspace) do(args []string) (any, error) {
	name := strings.ToUpper(args[0])
	c, ok := commands[name]
	if !ok {
		return nil, fmt.Errorf("ERR the model does not know the command %s", name)
	}
	if len(args)-1 < c.arity {
		return nil, fmt.Errorf("ERR wrong number of arguments for %s", name)
	}
	if len(args) > 1 {
		k.evict(args[1])
	}
	return c.run(k, args[1:])
}

// evict removes a key whose time is over.
func (k *Keyspace) evict(key string) {
	if at, ok := k.expires[key]; ok && k.now().UnixMilli() >= at {
		k.remove(key)
	}
}

func (k *Keyspace) remove(key string) {
	delete(k.keys, key)
	delete(k.expires, key)
}

type command struct {
	arity int // the fewest arguments
	run   func(k *Keyspace, a []string) (any, error)
}

var commands map[string]command

// It is filled here because a command may refer to others.
func init() {
	commands = map[string]command{
		"TIME":    {0, func(k *Keyspace, _ []string) (any, error) { return k.time(), nil }},
		"EXISTS":  {1, exists},
		"DEL":     {1, del},
		"PEXPIRE": {2, pexpire},
		"PERSIST": {1, func(k *Keyspace, a []string) (any, error) { delete(k.expires, a[0]); return int64(1), nil }},
		"PUBLISH": {2, func(*Keyspace, []string) (any, error) { return int64(0), nil }},

		"GET": {1, get}, "MGET": {1, mget}, "SET": {2, set},

		"HGET": {2, hget}, "HMGET": {2, hmget}, "HGETALL": {1, hgetall}, "HSET": {3, hset},
		"HDEL": {2, hdel}, "HINCRBY": {3, hincrby},

		"SADD": {2, sadd}, "SISMEMBER": {2, sismember},

		"LPUSH": {2, lpush}, "RPUSH": {2, rpush}, "RPOP": {1, rpop}, "RPOPLPUSH": {2, rpoplpush}, "LREM": {3, lrem}, "LRANGE": {3, lrange},

		"INCR": {1, incr}, "EXPIREAT": {2, expireat},

		"ZADD": {3, zadd}, "ZREM": {2, zrem}, "ZCARD": {1, zcard}, "ZCOUNT": {3, zcount},
		"ZRANGEBYSCORE": {3, zrangebyscore}, "ZREMRANGEBYSCORE": {3, zremrangebyscore},

		"XADD": {3, xadd}, "XRANGE": {3, xrange},
	}
}

func (k *Keyspace) time() any {
	us := k.now().UnixMicro()
	return []any{strconv.FormatInt(us/1_000_000, 10), strconv.FormatInt(us%1_000_000, 10)}
}

// hold returns the value of a key, which is made by fresh when there is none.
func hold[T any](k *Keyspace, key string, fresh T) T {
	v, ok := k.keys[key].(T)
	if !ok {
		v = fresh
		k.keys[key] = v
	}
	return v
}

func peek[T any](k *Keyspace, key string) T {
	v, _ := k.keys[key].(T)
	return v
}

func number(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err == nil {
		return n, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0, fmt.Errorf("ERR value is not a number: %q", s)
	}
	return int64(f), nil
}

func exists(k *Keyspace, a []string) (any, error) {
	var n int64
	for _, key := range a {
		k.evict(key)
		if _, ok := k.keys[key]; ok {
			n++
		}
	}
	return n, nil
}

func del(k *Keyspace, a []string) (any, error) {
	n, err := exists(k, a)
	for _, key := range a {
		k.remove(key)
	}
	return n, err
}

func pexpire(k *Keyspace, a []string) (any, error) {
	ms, err := number(a[1])
	if _, ok := k.keys[a[0]]; ok && err == nil {
		k.expires[a[0]] = k.now().UnixMilli() + ms
		return int64(1), nil
	}
	return int64(0), err
}

func get(k *Keyspace, a []string) (any, error) {
	if v, ok := k.keys[a[0]].(string); ok {
		return v, nil
	}
	return nil, nil
}

func mget(k *Keyspace, a []string) (any, error) {
	out := make([]any, len(a))
	for i, key := range a {
		if v, ok := k.keys[key].(string); ok {
			out[i] = v
		}
	}
	return out, nil
}

func set(k *Keyspace, a []string) (any, error) {
	k.remove(a[0])
	k.keys[a[0]] = a[1]
	if len(a) == 4 && strings.EqualFold(a[2], "PX") {
		return pexpire(k, []string{a[0], a[3]})
	}
	return "OK", nil
}

func sadd(k *Keyspace, a []string) (any, error) {
	h := hold(k, a[0], map[string]bool{})
	var n int64
	for _, m := range a[1:] {
		if !h[m] {
			h[m] = true
			n++
		}
	}
	return n, nil
}

func sismember(k *Keyspace, a []string) (any, error) {
	return flag(peek[map[string]bool](k, a[0])[a[1]]), nil
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func lpush(k *Keyspace, a []string) (any, error) {
	l := peek[[]string](k, a[0])
	for _, v := range a[1:] {
		l = append([]string{v}, l...)
	}
	k.keys[a[0]] = l
	return int64(len(l)), nil
}

// lrange returns all elements; it knows no other part.
func lrange(k *Keyspace, a []string) (any, error) {
	if a[1] != "0" || a[2] != "-1" {
		return nil, fmt.Errorf("ERR the model cannot return the elements from %s to %s", a[1], a[2])
	}
	out := []any{}
	for _, v := range peek[[]string](k, a[0]) {
		out = append(out, v)
	}
	return out, nil
}

// lrem removes all elements that are equal; it knows no other count than 0.
func lrem(k *Keyspace, a []string) (any, error) {
	if a[1] != "0" {
		return nil, fmt.Errorf("ERR the model cannot remove %s elements", a[1])
	}
	l := peek[[]string](k, a[0])
	left := slices.DeleteFunc(slices.Clone(l), func(v string) bool { return v == a[2] })
	if k.keys[a[0]] = left; len(left) == 0 {
		k.remove(a[0])
	}
	return int64(len(l) - len(left)), nil
}

func incr(k *Keyspace, a []string) (any, error) {
	old, _ := k.keys[a[0]].(string)
	n, err := number(cmp.Or(old, "0"))
	if err == nil {
		k.keys[a[0]] = strconv.FormatInt(n+1, 10)
	}
	return n + 1, err
}

func expireat(k *Keyspace, a []string) (any, error) {
	s, err := number(a[1])
	if _, ok := k.keys[a[0]]; ok && err == nil {
		k.expires[a[0]] = s * 1000
		return int64(1), nil
	}
	return int64(0), err
}

func rpush(k *Keyspace, a []string) (any, error) {
	l := append(slices.Clone(peek[[]string](k, a[0])), a[1:]...)
	k.keys[a[0]] = l
	return int64(len(l)), nil
}

func rpoplpush(k *Keyspace, a []string) (any, error) {
	v, err := rpop(k, a[:1])
	if id, ok := v.(string); ok {
		_, err = lpush(k, []string{a[1], id})
	}
	return v, err
}

func rpop(k *Keyspace, a []string) (any, error) {
	l := peek[[]string](k, a[0])
	if len(l) == 0 {
		return nil, nil
	}
	v := l[len(l)-1]
	if k.keys[a[0]] = l[:len(l)-1]; len(l) == 1 {
		k.remove(a[0])
	}
	return v, nil
}
