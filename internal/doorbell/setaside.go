package doorbell

import (
	"context"
	_ "embed"
	"sync"

	_ "github.com/hibiken/asynq" // It registers its messages.
	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

//go:embed setaside.lua
var setAsideText string

var setAsideScript = redis.NewScript(setAsideText)

// messageName is that of asynq's message of a task, a protocol buffer.
const messageName = "asynq.TaskMessage"

// messageType is what asynq decodes a message into.
var messageType = sync.OnceValue(func() protoreflect.MessageType {
	t, err := protoregistry.GlobalTypes.FindMessageByName(messageName)
	if err != nil {
		panic(err) // A test would have shown it: asynq is pinned.
	}
	return t
})

// decodes reports whether asynq can decode a message.
func decodes(message string) bool {
	return proto.Unmarshal([]byte(message), messageType().New().Interface()) == nil
}

// setAside archives what was taken and cannot be decoded. The hash of the task stays as it is, for whoever wants
// to know what it was.
func (h *Handful) setAside(ctx context.Context, queue, message string) error {
	keys := []string{DequeueKeys(queue)[2], DequeueKeys(queue)[3], archivedKey(queue)}
	return setAsideScript.Run(ctx, h.UniversalClient, keys, TaskPrefix(queue), message).Err()
}
