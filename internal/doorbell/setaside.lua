-- setaside archives the taken tasks of a queue whose message is one that cannot be decoded. asynq would leave
-- them active for ever, and once their leases have ended it would find no lost task of any queue any more.
--
-- KEYS  1 active list  2 leases  3 archive
-- ARGV  1 prefix of the tasks' keys  2 the message
--
-- Returns how many were archived. The id is not in the message, or not to be found in it, so that the active
-- tasks are looked through: there are no more than the workers have places.
local now = redis.call('TIME')[1]
local n = 0
for _, id in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  if redis.call('HGET', ARGV[1] .. id, 'msg') == ARGV[2] then
    redis.call('LREM', KEYS[1], 1, id)
    redis.call('ZREM', KEYS[2], id)
    redis.call('ZADD', KEYS[3], now, id)
    redis.call('HSET', ARGV[1] .. id, 'state', 'archived')
    n = n + 1
  end
end
return n
