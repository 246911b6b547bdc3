-- rebind touches the binding of an idempotency key, as settle does an operation. One that a failover has lost
-- is put back.
--
-- KEYS  1 key
-- ARGV  1 binding  2 ttl ms of one that was lost
--
-- Returns 1 when it was done, 0 when the key is bound to something else.
local held = redis.call('GET', KEYS[1])
if held and (string.match(held, '^(%S+ %S+) %S+$') or held) ~= ARGV[1] then return 0 end
if held then
  redis.call('SET', KEYS[1], ARGV[1], 'KEEPTTL')
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return 1
