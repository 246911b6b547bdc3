-- release frees an idempotency key, unless it is bound to something else by now or another request has come
-- with it: that one may have recorded the operation, or be about to.
--
-- KEYS  1 key
-- ARGV  1 binding that was reserved  2 number of the request that reserved it
--
-- Returns 1 when it was done, else 0.
if redis.call('GET', KEYS[1]) ~= ARGV[1] .. ' ' .. ARGV[2] then return 0 end
return redis.call('DEL', KEYS[1])
