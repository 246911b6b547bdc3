-- reserve binds an idempotency key to an operation id, or tells what it is bound to.
--
-- KEYS  1 key
-- ARGV  1 binding  2 ttl ms
--
-- Returns the binding that holds now: the caller's own when the key was free.
local held = redis.call('GET', KEYS[1])
if held then return held end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
