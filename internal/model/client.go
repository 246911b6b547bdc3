package model

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Gate is asked for every command, a pipeline being one. It calls act to have it happen: once, or, for what
// a client does that lost a reply, twice, and not at all when the command never arrives. The error that it
// returns, if any, is what the client gets in place of the replies.
type Gate func(ctx context.Context, cmds []redis.Cmder, act func()) error

// ErrReplyLost is what a client gets that does not learn what became of its command.
var ErrReplyLost = errors.New("i/o timeout: no reply")

// NewClient returns a client of the keyspace, to be closed by the caller. Nothing it sends goes over a
// network.
func NewClient(k *Keyspace, gate Gate) *redis.Client {
	c := redis.NewClient(&redis.Options{
		Addr: "model.invalid:0", MaxRetries: -1,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		Dialer: func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("the model has no connections")
		},
	})
	c.AddHook(hook{k, gate})
	return c
}

type hook struct {
	keys *Keyspace
	gate Gate
}

func (h hook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h hook) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if err := h.all(ctx, []redis.Cmder{cmd}); err != nil {
			return err
		}
		return cmd.Err()
	}
}

func (h hook) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return h.all
}

func (h hook) all(ctx context.Context, cmds []redis.Cmder) error {
	err := h.gate(ctx, cmds, func() {
		for _, cmd := range cmds {
			answer(cmd, h.keys)
		}
	})
	if err != nil {
		for _, cmd := range cmds {
			cmd.SetErr(err)
		}
		return err
	}
	for _, cmd := range cmds {
		if err := cmd.Err(); err != nil {
			return err
		}
	}
	return nil
}

// ScriptOf returns the text of the script that a command runs, "" when it runs none or one that was never
// sent in full.
func (k *Keyspace) ScriptOf(cmd redis.Cmder) string {
	args := cmd.Args()
	if len(args) < 2 {
		return ""
	}
	text, _ := args[1].(string)
	switch strings.ToLower(cmd.Name()) {
	case "eval":
		return text
	case "evalsha":
		return k.source(text)
	default:
		return ""
	}
}

// replyError is an error reply of the Redis.
type replyError string

func (e replyError) Error() string { return string(e) }

// RedisError makes it one for go-redis.
func (replyError) RedisError() {}

func answer(cmd redis.Cmder, k *Keyspace) {
	v, err := reply(cmd, k)
	cmd.SetErr(nil)
	if err != nil {
		cmd.SetErr(replyError(err.Error()))
		return
	}
	switch c := cmd.(type) {
	case *redis.Cmd:
		c.SetVal(v)
		if v == nil {
			c.SetErr(redis.Nil)
		}
	case *redis.IntCmd:
		n, _ := v.(int64)
		c.SetVal(n)
	case *redis.BoolCmd:
		c.SetVal(v == int64(1))
	case *redis.StringCmd:
		if v == nil {
			c.SetErr(redis.Nil)
			return
		}
		c.SetVal(fmt.Sprint(v))
	case *redis.MapStringStringCmd:
		c.SetVal(pairs(v))
	case *redis.SliceCmd:
		list, _ := v.([]any)
		c.SetVal(list)
	case *redis.XMessageSliceCmd:
		c.SetVal(messages(v))
	default:
		cmd.SetErr(replyError(fmt.Sprintf("ERR the model cannot answer %s with a %T", cmd.Name(), cmd)))
	}
}

// reply runs a command.
func reply(cmd redis.Cmder, k *Keyspace) (any, error) {
	args := make([]string, len(cmd.Args()))
	for i, a := range cmd.Args() {
		switch a := a.(type) {
		case string:
			args[i] = a
		case []byte:
			args[i] = string(a)
		case int:
			args[i] = strconv.Itoa(a)
		case int64:
			args[i] = strconv.FormatInt(a, 10)
		case time.Duration:
			return nil, fmt.Errorf("ERR argument %d of %s is a duration", i, cmd.Name())
		default:
			args[i] = fmt.Sprint(a)
		}
	}
	switch name := strings.ToLower(cmd.Name()); {
	case name == "script" && len(args) == 3 && args[1] == "load":
		return k.load(args[2]), nil
	case name != "eval" && name != "evalsha":
		return k.Do(args...)
	}
	text := k.ScriptOf(cmd)
	if text == "" {
		return nil, errors.New("NOSCRIPT no such script")
	}
	var n int
	if _, err := fmt.Sscan(args[2], &n); err != nil {
		return nil, fmt.Errorf("ERR number of keys: %w", err)
	}
	return k.Eval(text, args[3:3+n], args[3+n:])
}

func pairs(v any) map[string]string {
	flat, _ := v.([]any)
	out := make(map[string]string, len(flat)/2)
	for i := 0; i+1 < len(flat); i += 2 {
		out[fmt.Sprint(flat[i])] = fmt.Sprint(flat[i+1])
	}
	return out
}

func messages(v any) []redis.XMessage {
	entries, _ := v.([]any)
	out := make([]redis.XMessage, 0, len(entries))
	for _, e := range entries {
		parts, _ := e.([]any)
		m := redis.XMessage{ID: fmt.Sprint(parts[0]), Values: map[string]any{}}
		for f, x := range pairs(parts[1]) {
			m.Values[f] = x
		}
		out = append(out, m)
	}
	return out
}
