-- release frees an idempotency key, unless it is bound to something else by now.
--
-- KEYS  1 key
-- ARGV  1 binding that was reserved
--
-- Returns 1 when it was done, else 0.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
