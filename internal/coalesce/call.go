package coalesce

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// call is what one caller sends. Until done is closed its commands belong to whoever sends them.
type call struct {
	ctx  context.Context
	cmds []redis.Cmder
	done chan struct{}
	left error // why its caller has left, when that was seen before it was sent
}

// seated is a command of a call among those of others.
type seated struct {
	redis.Cmder
	call *call
}

// refused is sent in place of a command whose caller has left. Redis answers that an argument is missing,
// which is a reply that every kind of command can read, and which nobody reads.
var refused = []any{"echo"}

// Args is what go-redis asks for when it writes a command, each time that it repeats it included: it may have
// waited for a connection, and much later the command is not wanted any more.
func (s seated) Args() []any {
	if err := s.call.ctx.Err(); err != nil {
		s.call.left = err
		return refused
	}
	return s.Cmder.Args()
}
