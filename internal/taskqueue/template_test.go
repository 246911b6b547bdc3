package taskqueue

import (
	"context"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/tasks"
)

const operation = "cw05-01KAJ4S7Q0Z5M2E8H6N3T9RXVB"

// What a template makes is asynq's own, whatever is in the payload.
func TestPrepare_EachMessageIsAsynqs(t *testing.T) {
	t.Parallel()
	rdb, _ := redistest.Shared(t)
	c := New(rdb)
	long := tasks.Payload{Version: 1, PublicToken: "103169946", Reason: strings.Repeat("ü", 100), UpdatedBy: strings.Repeat("x", 60)}
	for _, typ := range tasks.Types() {
		for seq, p := range []tasks.Payload{tasks.ByReference(operation, 1), tasks.ByReference(operation, 123_456_789), long} {
			id := operation + strings.Repeat(":1", seq*seq*40+1)
			queue := typ.Policy().Queue
			want, err := c.prepare(t.Context(), typ, queue, id, p)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				got, err := c.Prepare(t.Context(), typ, queue, id, p)
				if err != nil || got.Message != want.Message || got.ID != id || got.Queue != queue || got.Since < want.Since {
					t.Errorf("Prepare(%s) = %+v, %v, want %+v", typ, got, err, want)
				}
			}
			if _, ok := c.templates.Load(kindOf{typ, queue}); !ok {
				t.Errorf("%s has no template", typ)
			}
		}
	}
}

func TestTemplate_OfAMessageThatIsOtherThanExpectedThereIsNone(t *testing.T) {
	t.Parallel()
	field := func(b []byte, n protowire.Number, v string) []byte {
		return protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), v)
	}
	of := func(parts ...[]byte) string {
		var all []byte
		for _, p := range parts {
			all = append(all, p...)
		}
		return string(all)
	}
	payload, id := field(nil, payloadField, "payload"), field(nil, idField, "id")
	number := protowire.AppendVarint(protowire.AppendTag(nil, idField, protowire.VarintType), 1)
	if _, ok := templateOf(of(field(nil, 1, "type"), payload, field(nil, 9, "x"), id, field(nil, 4, "queue")), []byte("payload"), "id"); !ok {
		t.Fatal("a message like asynq's has no template")
	}
	for what, message := range map[string]string{
		"nothing":         "",
		"no payload":      of(id),
		"no id":           of(payload),
		"the other order": of(id, payload),
		"another payload": of(field(nil, payloadField, "other"), id),
		"another id":      of(payload, field(nil, idField, "other")),
		"two ids":         of(payload, id, id),
		"an id of digits": of(payload, number),
		"cut off":         of(payload, id[:2]),
		"no tag":          of(payload, id, []byte{0xff}),
	} {
		if _, ok := templateOf(message, []byte("payload"), "id"); ok {
			t.Errorf("%s: there is a template", what)
		}
	}
}

func BenchmarkPrepare(b *testing.B) {
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
	defer func() { _ = rdb.Close() }()
	ctx := context.Background()
	for name, prepare := range map[string]func(c *Client) error{
		"asynq": func(c *Client) error {
			_, err := c.prepare(ctx, tasks.TypeUnblockPIN, tasks.QueueUnblock, operation+":1", tasks.ByReference(operation, 1))
			return err
		},
		"template": func(c *Client) error {
			_, err := c.Prepare(ctx, tasks.TypeUnblockPIN, tasks.QueueUnblock, operation+":1", tasks.ByReference(operation, 1))
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			c := New(published{rdb})
			b.ReportAllocs()
			for b.Loop() {
				if err := prepare(c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// published is a Redis that knows every queue.
type published struct{ redis.UniversalClient }

func (published) SAdd(ctx context.Context, _ string, _ ...any) *redis.IntCmd {
	return redis.NewIntResult(1, nil)
}
