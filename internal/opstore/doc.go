// Package opstore keeps the operations in Redis: their records, the indexes that find them, the locks
// and limits that guard a card, the leases that give one worker the right to act, and the events that
// say what happened.
//
// Every change is one Lua script (scripts/*.lua), so a crash leaves an operation before or after a step
// and never in between. All keys of one card share a hash tag, the shard, so that the scripts work on
// Redis Cluster; the shard is the prefix of the operation's id. On a single Redis a script may write asynq's task
// together with the operation that it is of ([Store.Handover], Task of [Request]). Time is the clock of Redis throughout.
//
// The keys, with NN a shard:
//
//	cardworker:{cwNN}:op:<id>              hash    the record, and the channel that tells of its changes
//	cardworker:{cwNN}:lock:<kind>:<card>   string  the open operation of that kind for the card
//	cardworker:{cwNN}:limit:<kind>:<card>  zset    accepted unblocks within the velocity window
//	cardworker:{cwNN}:leased               zset    operations a worker runs, by the end of the lease
//	cardworker:{cwNN}:waiting:urgent       zset    unblocks without a worker, by when to look at them
//	cardworker:{cwNN}:waiting:refresh      zset    refreshes without a worker, likewise
//	cardworker:{cwNN}:idem:<digest>        string  the id that an idempotency key is bound to
//	cardworker:{cwNN}:joined:<id>          string  the operation that a request bound to <id> has joined
//	cardworker:{cwNN}:audit                stream  the events
//
// <card> and <digest> are digests; the full public token is in the record and nowhere else.
package opstore
