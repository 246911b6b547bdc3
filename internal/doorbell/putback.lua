-- putback returns tasks that were taken and not begun to the head of their queue, as asynq does with those
-- that a stopping server has not finished.
--
-- KEYS  1 active list  2 leases  3 pending list
-- ARGV  1 prefix of the tasks' keys  2… ids, the one to be taken next last
--
-- Returns how many were returned. One that is not active any more is somebody else's, and is left alone.
local n = 0
for i = 2, #ARGV do
  if redis.call('LREM', KEYS[1], 1, ARGV[i]) == 1 then
    redis.call('ZREM', KEYS[2], ARGV[i])
    redis.call('RPUSH', KEYS[3], ARGV[i])
    redis.call('HSET', ARGV[1] .. ARGV[i], 'state', 'pending')
    n = n + 1
  end
end
return n
