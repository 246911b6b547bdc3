-- reserve hands out the next free moment of a fleet-wide rate.
--
-- KEYS  1 the next free moment, in microseconds since 1970 by the clock of Redis  2 state
-- ARGV  1 microseconds between two moments  2 the longest wait that is of use, in microseconds
--       3 the longest wait that is of use to anybody, in microseconds
--       4 first time to stay open  5 longest  6 longest hold; see the prelude
--
-- A next free moment that is further away than anybody reserves is one of before the clock was set back. All
-- that are taken lie within the longest wait, so it begins after that.
--
-- Returns {1, wait}: the moment that begins in wait µs is the caller's
--       | {0, wait}: nothing was reserved; the next free moment begins in wait µs
--       | {2, wait}: nothing was reserved; the API asked to be left alone for wait µs.
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local _, _, hold = load(KEYS[2], math.floor(now / 1000), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]))
hold = hold * 1000
if hold > now then return {2, hold - now} end
local free = math.max(now, tonumber(redis.call('GET', KEYS[1]) or '0'))
local furthest = now + tonumber(ARGV[3]) + tonumber(ARGV[1])
if free > furthest then
  free = furthest
  redis.call('SET', KEYS[1], string.format('%.0f', free), 'PX', math.ceil((free - now) / 1000) + 1000)
end
local wait = free - now
if wait > tonumber(ARGV[2]) then return {0, wait} end
local next_free = free + tonumber(ARGV[1])
redis.call('SET', KEYS[1], string.format('%.0f', next_free), 'PX', math.ceil((next_free - now) / 1000) + 1000)
return {1, wait}
