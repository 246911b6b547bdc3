-- read returns the shared state, with the time by the clock that it is told in.
--
-- KEYS  1 state
--
-- Returns {now, open_until, level, hold_until}.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local s = redis.call('HMGET', KEYS[1], 'open_until', 'level', 'hold_until')
return {now, tonumber(s[1] or '0'), tonumber(s[2] or '0'), tonumber(s[3] or '0')}
