-- probe gives one process of the fleet the right to try the API while the breaker is open.
--
-- KEYS  1 state  2 probe
-- ARGV  1 id of the probe, new each time but when the reply was lost and the script is sent again
--       2 ms after which another may try
--       3 first time to stay open  4 longest  5 longest hold; see the prelude
--
-- Returns {granted, now, open_until, level, hold_until}; granted is also 1 when the breaker is closed and
-- no right is needed (open_until = 0).
local now = now_ms()
local open, level, hold = load(KEYS[1], now, tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]))
local granted = 0
if open == 0 then
  granted = hold <= now and 1 or 0
elseif open <= now and hold <= now then
  local free = redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2])
  granted = (free or redis.call('GET', KEYS[2]) == ARGV[1]) and 1 or 0
  if not free and redis.call('PTTL', KEYS[2]) > tonumber(ARGV[2]) then
    redis.call('PEXPIRE', KEYS[2], ARGV[2]) -- The clock was set back since.
  end
end
return {granted, now, open, level, hold}
