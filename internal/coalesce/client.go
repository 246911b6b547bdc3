package coalesce

import (
	"context"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// New returns a client that coalesces scripts (EvalSha, Eval) and what goes through [Send], and passes
// everything else through to rdb, which stays the caller's to close. On a cluster only calls whose keys
// share a hash tag go together: they are for one node, and one that does not answer holds up no others.
//
// It is safe for concurrent use. Calls that are under way at the same time have no order among them. The keys
// and arguments of a call must not be changed afterwards, also when its context has ended before its reply.
func New(rdb redis.UniversalClient) redis.UniversalClient {
	c := &client{UniversalClient: rdb, only: newLane(rdb)}
	if _, cluster := rdb.(*redis.ClusterClient); cluster {
		c.only, c.lanes = nil, map[string]*lane{}
	}
	return c
}

// Cluster returns the cluster client that rdb is or stands in front of, and whether there is one.
func Cluster(rdb redis.UniversalClient) (*redis.ClusterClient, bool) {
	if c, ok := rdb.(*client); ok {
		rdb = c.UniversalClient
	}
	cluster, ok := rdb.(*redis.ClusterClient)
	return cluster, ok
}

// AnyKeys reports whether a script may use any keys together: rdb is, or stands in front of, a client of a single
// server at a time, and not one that spreads the keys over several.
func AnyKeys(rdb redis.UniversalClient) bool {
	if c, ok := rdb.(*client); ok {
		rdb = c.UniversalClient
	}
	_, ok := rdb.(*redis.Client)
	return ok
}

type client struct {
	redis.UniversalClient
	only *lane // of everything; nil on a cluster

	mu    sync.Mutex
	lanes map[string]*lane // on a cluster, by hash tag
}

// lane is where calls wait for each other. All of its calls are for the same Redis.
type lane = Lane[[]redis.Cmder]

func newLane(rdb redis.UniversalClient) *lane {
	return NewLane(
		func(ctx context.Context, cmds []redis.Cmder) { send(ctx, rdb, cmds) },
		func(ctx context.Context, calls []*Call[[]redis.Cmder]) {
			all := make([]redis.Cmder, 0, len(calls)+1)
			for _, call := range calls {
				for _, cmd := range call.What {
					all = append(all, seated{cmd, call})
				}
			}
			send(ctx, rdb, all)
		})
}

// lane returns the lane of a key. A key without a hash tag, of which there may be any number, has none.
func (c *client) lane(key string) *lane {
	if c.only != nil {
		return c.only
	}
	_, rest, ok := strings.Cut(key, "{")
	tag, _, closed := strings.Cut(rest, "}")
	if !ok || !closed || tag == "" {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.lanes[tag]
	if l == nil {
		l = newLane(c.UniversalClient)
		c.lanes[tag] = l
	}
	return l
}

func (c *client) EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) *redis.Cmd {
	if listed(args) {
		return c.UniversalClient.EvalSha(ctx, sha1, keys, args...)
	}
	return c.eval(ctx, "evalsha", sha1, keys, args)
}

func (c *client) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	if listed(args) {
		return c.UniversalClient.Eval(ctx, script, keys, args...)
	}
	return c.eval(ctx, "eval", script, keys, args)
}

// listed reports whether go-redis may take the only argument for a list of the arguments.
func listed(args []any) bool {
	if len(args) != 1 {
		return false
	}
	switch args[0].(type) {
	case string, []byte, int, int64, float64, bool:
		return false
	}
	return true
}

func (c *client) eval(ctx context.Context, name, script string, keys []string, args []any) *redis.Cmd {
	all := make([]any, 0, firstKey+len(keys)+len(args))
	all = append(all, name, script, len(keys))
	key := ""
	for _, k := range keys {
		all = append(all, k)
	}
	cmd := redis.NewCmd(ctx, append(all, args...)...)
	if len(keys) > 0 {
		key = keys[0]
		cmd.SetFirstKeyPos(firstKey)
	}
	if err := c.together(ctx, key, cmd); err != nil {
		cmd = redis.NewCmd(ctx, name, script)
		cmd.SetErr(err)
	}
	if redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
		cmd.SetErr(redis.ErrNoScript)
	}
	return cmd
}

// firstKey is where a script's first key is among its arguments.
const firstKey = 3

// Send sends commands in their order, in one round trip; on a client of [New], others may share it. On a
// cluster all their keys have the hash tag of key. Each command has its own error afterwards, and the result is
// nil. When ctx ends before the reply is there, the result is ctx's error, and the commands, which may or may
// not be carried out, must not be touched any more.
func Send(ctx context.Context, rdb redis.UniversalClient, key string, cmds ...redis.Cmder) error {
	if c, ok := rdb.(*client); ok {
		return c.together(ctx, key, cmds...)
	}
	send(ctx, rdb, cmds)
	return nil
}

func (c *client) together(ctx context.Context, key string, cmds ...redis.Cmder) error {
	l := c.lane(key)
	if l == nil {
		send(ctx, c.UniversalClient, cmds)
		return nil
	}
	return l.Do(ctx, cmds)
}

func send(ctx context.Context, rdb redis.UniversalClient, cmds []redis.Cmder) {
	if len(cmds) == 1 {
		_ = rdb.Process(ctx, cmds[0]) // Here and below each command has its own error.
		return
	}
	pipe := rdb.Pipeline()
	for _, cmd := range cmds {
		_ = pipe.Process(ctx, cmd)
	}
	_, _ = pipe.Exec(ctx)
}
