-- extend prolongs the leases of one shard that one worker holds.
--
-- KEYS  1 leased index  2… the records
-- ARGV  1 lease ms  then for each record: id, fence
--
-- Returns one number for each record: 1 extended, 0 lost (superseded, given up or ended). A lease that its
-- holder has given up since it asked must not come back: nobody would end it, and the operation's next
-- task would find it held.
local lease = now_ms() + tonumber(ARGV[1])
local out = {}
for i = 2, #KEYS do
  local id, fence = ARGV[2 * i - 2], ARGV[2 * i - 1]
  local record = load(KEYS[i], LEASE_MS)
  if owns(record, fence) and record[LEASE_MS] ~= '0' then
    redis.call('ZREM', KEYS[1], id)
    redis.call('ZADD', KEYS[1], lease, id)
    redis.call('HSET', KEYS[i], 'lease_ms', lease)
    out[#out + 1] = 1
  else
    out[#out + 1] = 0
  end
end
return out
