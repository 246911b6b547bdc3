-- reserve binds an idempotency key to an operation id, or tells what it is bound to.
--
-- KEYS  1 key
-- ARGV  1 binding, two words  2 ttl ms  3 number of the request
--
-- The key holds the binding, and behind it the number of the request while no other has come with the key: so
-- long that one may release it.
--
-- Returns the binding that holds now: the caller's own when the key was free.
local held = redis.call('GET', KEYS[1])
if not held then
  redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[3], 'PX', ARGV[2])
  return ARGV[1]
end
local binding, number = string.match(held, '^(%S+ %S+) (%S+)$')
if not binding then return held end
if number ~= ARGV[3] then redis.call('SET', KEYS[1], binding, 'KEEPTTL') end
return binding
