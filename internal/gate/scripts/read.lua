-- read returns the shared state, with the time by the clock that it is told in.
--
-- KEYS  1 state
-- ARGV  1 first time to stay open  2 longest  3 longest hold; see the prelude
--
-- Returns {now, open_until, level, hold_until}.
local now = now_ms()
local open, level, hold = load(KEYS[1], now, tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]))
return {now, open, level, hold}
