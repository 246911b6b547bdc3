-- due lists operations that somebody should have touched by now: their lease has lapsed, or they have
-- waited for their task for longer than they should.
--
-- KEYS  indexes, the most urgent first
-- ARGV  1 how many ids at most
--
-- Returns {'ok', now, ids}.
local now, left, out = now_ms(), tonumber(ARGV[1]), {}
for _, key in ipairs(KEYS) do
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, left)) do
    out[#out + 1] = id
  end
  left = tonumber(ARGV[1]) - #out
  if left <= 0 then break end
end
return {'ok', now, out}
