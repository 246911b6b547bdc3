-- Shared by the scripts that look at the state: it is put before each of them. They get the lengths that are in
-- use as their last arguments: first time to stay open, ms; longest time to stay open, ms; longest hold that is
-- believed, ms.
--
-- State: open_until (ms; 0 = closed), level (how often it opened in a row), hold_until (ms), by the clock of Redis.

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- opening is how long the breaker stays open at a level, which is 1 at least.
local function opening(level, first, longest)
  return math.min(longest, first * 2 ^ (level - 1))
end

-- load returns open_until, level and hold_until. What is further away than it can be comes from before the
-- clock was set back. It is written anew, to end as late as what begins now; else it would move on with each look.
local function load(key, now, first, longest, believed)
  local s = redis.call('HMGET', key, 'open_until', 'level', 'hold_until')
  local open, level, hold = tonumber(s[1] or '0'), tonumber(s[2] or '0'), tonumber(s[3] or '0')
  if hold > now + believed then
    hold = now + believed
    redis.call('HSET', key, 'hold_until', string.format('%.0f', hold))
  end
  local latest = math.max(hold, now + opening(math.max(level, 1), first, longest))
  if open > latest then
    open = latest
    redis.call('HSET', key, 'open_until', string.format('%.0f', open))
  end
  return open, level, hold
end
