package coalesce

import (
	"github.com/redis/go-redis/v9"
)

// seated is a command of a call among those of others.
type seated struct {
	redis.Cmder
	call *Call[[]redis.Cmder]
}

// refused is sent in place of a command whose caller has left. Redis answers that an argument is missing,
// which is a reply that every kind of command can read, and which nobody reads.
var refused = []any{"echo"}

// Args is what go-redis asks for when it writes a command, each time that it repeats it included: it may have
// waited for a connection, and much later the command is not wanted any more.
func (s seated) Args() []any {
	if s.call.Left() {
		return refused
	}
	return s.Cmder.Args()
}
