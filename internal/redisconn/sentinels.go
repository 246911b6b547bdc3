package redisconn

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// CheckSentinels asks the sentinels for the primary and returns nil when one names it, or when the URL names none. The
// error is an *Error with Kind NoPrimary that says what each sentinel has against it. The client of go-redis, which
// repeats every attempt to reach a sentinel for every attempt to reach the primary, does not come to that in the time
// that anybody waits.
func (c *Conn) CheckSentinels(ctx context.Context) error {
	if c.target.mode != sentinel {
		return nil
	}
	var (
		asking sync.WaitGroup
		errs   = make([]error, len(c.target.addrs))
	)
	for i, addr := range c.target.addrs {
		asking.Go(func() { errs[i] = c.askSentinel(ctx, addr) })
	}
	asking.Wait()
	if slices.Contains(errs, nil) {
		return nil
	}
	if err := ctx.Err(); errors.Is(err, context.Canceled) {
		return err
	}
	return c.Explain(ctx, &Error{Kind: NoPrimary, Err: errors.Join(errs...), detail: complaints(c.target.addrs, errs)})
}

// askSentinel asks one sentinel for the primary.
func (c *Conn) askSentinel(ctx context.Context, addr string) error {
	options := c.target.options
	c.options.apply(&options)
	options.Addr, options.DB = addr, 0
	options.Username, options.Password = c.target.sentinelUsername, c.target.sentinelPassword
	if options.TLSConfig != nil {
		options.TLSConfig = options.TLSConfig.Clone()
	}
	client := redis.NewSentinelClient(&options)
	_, err := client.GetMasterAddrByName(ctx, c.target.primary).Result()
	return errors.Join(err, client.Close())
}

// complaints says what is wrong with every sentinel, those with the same together.
func complaints(addrs []string, errs []error) string {
	var (
		whats []string
		who   = map[string][]string{}
	)
	for i, err := range errs {
		what := "knows no primary of this name"
		if !errors.Is(err, redis.Nil) {
			what, _, _ = strings.Cut(kinds[classify(err)].advice, ":")
		}
		if who[what] == nil {
			whats = append(whats, what)
		}
		who[what] = append(who[what], addrs[i])
	}
	for i, what := range whats {
		whats[i] = strings.Join(who[what], ", ") + ": " + what
	}
	return strings.Join(whats, "; ")
}
