// Package gate decides when a call to the API may be made, for all workers of one Redis together. It is
// asked before each call and told of each outcome, and it holds three things:
//
//   - the rate: no second sees more calls than PAYBLR_RATE_LIMIT allows;
//   - the hold: after a Retry-After that it is told of nobody calls until it is over;
//   - the breaker: when most calls fail, nobody calls, except one in the whole fleet now and then to see
//     whether the API is back.
//
// Hold and breaker cost a call nothing while all is well: every process keeps a copy of the shared state,
// which travels by pub/sub when it changes and is read again when the connection was lost. A process tells
// the others of a failure within a fraction of a second, and of its successes only when there are failures
// to weigh them against.
//
// While Redis cannot be reached, each process goes by its copy: a closed breaker stays closed, an open one
// stays open, and a hold ends when it would have. A rate cannot be held together without Redis, so with a
// rate no call is let through. Nothing is lost by that: without Redis no operation begins either.
package gate
