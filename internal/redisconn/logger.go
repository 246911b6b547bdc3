package redisconn

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// SetLogger sends go-redis's own messages ("failed to dial after 5 attempts" …), which otherwise go
// to stderr in a format of their own, to print, e.g. a logger's Debug method: every one of them is
// also returned as an error to whoever ran the command. nil drops them.
//
// It holds for the whole process; call it once, in main.
func SetLogger(print func(args ...any)) {
	if print == nil {
		print = func(...any) {}
	}
	redis.SetLogger(printer(print))
}

type printer func(args ...any)

// Printf is the one method that go-redis asks for.
func (p printer) Printf(_ context.Context, format string, args ...any) {
	p(fmt.Sprintf("go-redis: "+format, args...))
}
