-- settle touches an operation that was accepted, or driven again, if it is there. The caller then waits on
-- the same connection until everything that Redis has written so far is safe: Redis waits for the writes of
-- the connection that asks, and only if it has made one.
--
-- KEYS  1 record  2 what the request has joined by its idempotency key, or the record again
-- ARGV  1 id  2 seq that the record has reached
--
-- Returns 1 when it was done, 0 when the operation is gone: a failover has lost it, or its time is over.
local seq = redis.call('HGET', KEYS[1], 'seq')
if not seq or tonumber(seq) < tonumber(ARGV[2]) or redis.call('EXISTS', KEYS[2]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'id', ARGV[1])
return 1
