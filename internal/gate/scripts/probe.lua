-- probe gives one process of the fleet the right to try the API while the breaker is open.
--
-- KEYS  1 state  2 probe
-- ARGV  1 id of the probe, new each time but when the reply was lost and the script is sent again
--       2 ms after which another may try
--
-- Returns {granted, now, open_until, level, hold_until}; granted is also 1 when the breaker is closed and
-- no right is needed (open_until = 0).
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local s = redis.call('HMGET', KEYS[1], 'open_until', 'level', 'hold_until')
local open, hold = tonumber(s[1] or '0'), tonumber(s[3] or '0')
local granted = 0
if open == 0 then
  granted = hold <= now and 1 or 0
elseif open <= now and hold <= now then
  local free = redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2])
  granted = (free or redis.call('GET', KEYS[2]) == ARGV[1]) and 1 or 0
end
return {granted, now, open, tonumber(s[2] or '0'), hold}
