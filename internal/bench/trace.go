package bench

import (
	"context"
	"crypto/sha1" //nolint:gosec // Redis names scripts by their SHA-1
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/payblr"
)

// traced is how many operations are watched for the sequence of one: the shortest has met the least of what
// goes on besides.
const traced = 20

// trace writes down what one operation does, in the order in which it is done.
type trace struct {
	mu      sync.Mutex
	scripts map[string]string // names by digest
	steps   []Step
}

func (t *trace) add(role, does string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.steps = append(t.steps, Step{role, does})
}

// take returns the steps since the last call.
func (t *trace) take() []Step {
	t.mu.Lock()
	defer t.mu.Unlock()
	steps := t.steps
	t.steps = nil
	return steps
}

// seen is told of each round trip to Redis.
func (t *trace) seen(role string, cmds []redis.Cmder) {
	var does []string
	times := map[string]int{}
	for _, c := range cmds {
		name := t.name(c)
		if times[name]++; times[name] == 1 {
			does = append(does, name)
		}
	}
	for i, name := range does {
		if n := times[name]; n > 1 {
			does[i] = fmt.Sprintf("%d × %s", n, name)
		}
	}
	t.add(role, strings.Join(does, " + "))
}

// name names a command: a script by what it is called, another one by its own name.
func (t *trace) name(c redis.Cmder) string {
	args := c.Args()
	if len(args) < 2 {
		return strings.ToUpper(c.Name())
	}
	text, ok := args[1].(string)
	switch {
	case !ok || (c.Name() != "eval" && c.Name() != "evalsha"):
		return strings.ToUpper(c.Name())
	case c.Name() == "eval":
		return t.learn(text)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if name := t.scripts[text]; name != "" {
		return name
	}
	return "script"
}

// learn remembers the name of a script by its digest, and returns it.
func (t *trace) learn(text string) string {
	digest := sha1.Sum([]byte(text)) //nolint:gosec // as Redis has it
	t.mu.Lock()
	defer t.mu.Unlock()
	name := scriptName(text)
	t.scripts[hex.EncodeToString(digest[:])] = name
	return name
}

// scriptName names a script of ours after the first word of the comment that lists its keys, and one of asynq,
// which has no names, after what it does.
func scriptName(text string) string {
	if before, _, found := strings.Cut(text, "\n-- KEYS"); found {
		lines := strings.Split(before, "\n")
		first := ""
		for i := len(lines) - 1; i >= 0 && strings.HasPrefix(lines[i], "--"); i-- {
			first = lines[i]
		}
		if words := strings.Fields(strings.TrimPrefix(first, "--")); len(words) > 0 {
			return words[0]
		}
	}
	has := func(s string) bool { return strings.Contains(text, s) }
	switch {
	case has(`"RPOPLPUSH"`):
		return "asynq dequeue"
	case has(`"LPUSH"`) && has(`"EXISTS"`):
		return "asynq enqueue"
	case has(`"LREM"`) && has(`"INCR"`):
		return "asynq done"
	default:
		return "asynq script"
	}
}

// tracedStub is an API whose calls are written down.
type tracedStub struct {
	*stub
	trace *trace
}

const roleAPI = "API"

// PINStatus writes down that the status is read.
func (t tracedStub) PINStatus(ctx context.Context, token string) (payblr.Status, error) {
	t.trace.add(roleAPI, "GET status")
	return t.stub.PINStatus(ctx, token)
}

// UnblockPIN writes down that the card is unblocked.
func (t tracedStub) UnblockPIN(ctx context.Context, token string, n payblr.Note) error {
	t.trace.add(roleAPI, "POST unblock")
	return t.stub.UnblockPIN(ctx, token, n)
}

// sequence returns the steps of an operation that somebody waits for.
func (b *bench) sequence(ctx context.Context) ([]Step, error) {
	const aftermath = 30 * time.Millisecond // asynq notes the end of a task after its result is there
	tr := &trace{scripts: map[string]string{}}
	at := setting{aof: "off", api: tracedStub{newStub(0), tr}, quiet: true, seen: &trips{seen: tr.seen}}
	// The text of a script is sent once only, and its name is in there.
	if err := b.redis[at.aof].admin.ScriptFlush(ctx).Err(); err != nil {
		return nil, err
	}
	var shortest []Step
	err := b.with(ctx, nameOurs, at, func(s system) (used, error) {
		u := used{unblocked: warmUp + traced}
		if err := b.warm(ctx, s); err != nil {
			return u, err
		}
		for _, c := range cards(false, warmUp, traced) {
			if err := sleep(ctx, aftermath); err != nil {
				return u, err
			}
			tr.take()
			if _, err := s.follow(ctx, c); err != nil {
				return u, err
			}
			if err := sleep(ctx, aftermath); err != nil {
				return u, err
			}
			if steps := tr.take(); shortest == nil || len(steps) < len(shortest) {
				shortest = steps
			}
		}
		return u, nil
	})
	return shortest, err
}
