-- report adds what a process saw of the API to what the fleet saw, and changes the shared state when
-- there is reason to.
--
-- KEYS  1 state  2 window  3 probe
-- ARGV  1 ms of a slot  2 slots that are weighed  3 least failures that open the breaker  4 least share of
--       failures  5 first time to stay open, ms  6 longest time to stay open, ms
--       7 ms that the API asked to be left alone, or 0  8 longest of them that is believed
--       9 channel  10 id of a probe that ended, or ''  11 'worked', 'failed', 'unclear', or '' without one
--       12… for each slot with outcomes: its age in slots, calls that went well, calls that failed
--
-- Returns {now, open_until, level, hold_until}.
local now = now_ms()
local first, longest, asked, believed = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local open, level, hold = load(KEYS[1], now, first, longest, believed)
local changed = false

if open > 0 then
  -- Only a probe counts, and only while it is the one that has the right.
  if ARGV[10] ~= '' and redis.call('GET', KEYS[3]) == ARGV[10] then
    redis.call('DEL', KEYS[3])
    changed = true
    if ARGV[11] == 'worked' then
      open, level = 0, 0
      redis.call('DEL', KEYS[2])
    elseif ARGV[11] == 'failed' then
      level = math.min(level + 1, 30)
      open = now + opening(level, first, longest)
    else
      open = now + first -- It told nothing, so another is made soon.
    end
  end
elseif #ARGV > 11 then
  -- The window is a hash of two counters for each slot.
  local slot = math.floor(now / tonumber(ARGV[1]))
  local n = tonumber(ARGV[2])
  for i = 12, #ARGV, 3 do
    local at = string.format('%.0f', slot - tonumber(ARGV[i]))
    if ARGV[i + 1] ~= '0' then redis.call('HINCRBY', KEYS[2], at .. ':ok', ARGV[i + 1]) end
    if ARGV[i + 2] ~= '0' then redis.call('HINCRBY', KEYS[2], at .. ':bad', ARGV[i + 2]) end
  end
  redis.call('PEXPIRE', KEYS[2], tonumber(ARGV[1]) * (n + 1))
  local ok, bad = {}, {}
  local fields = redis.call('HGETALL', KEYS[2])
  for i = 1, #fields, 2 do
    local at, what = string.match(fields[i], '^(%d+):(%a+)$')
    local age = slot - tonumber(at)
    if age >= n then
      redis.call('HDEL', KEYS[2], fields[i])
    elseif what == 'ok' then
      ok[age] = tonumber(fields[i + 1])
    else
      bad[age] = tonumber(fields[i + 1])
    end
  end
  -- Any number of the latest slots is enough: what went well before the trouble does not hide it.
  local sum_ok, sum_bad = 0, 0
  for age = 0, n - 1 do
    sum_ok, sum_bad = sum_ok + (ok[age] or 0), sum_bad + (bad[age] or 0)
    if sum_bad >= tonumber(ARGV[3]) and sum_bad >= (sum_ok + sum_bad) * tonumber(ARGV[4]) then
      open, level, changed = now + first, 1, true
      redis.call('DEL', KEYS[2], KEYS[3])
      break
    end
  end
end

local held = now + math.min(asked, believed)
if asked > 0 and held > hold then hold, changed = held, true end
if asked > believed and open < hold then
  -- When the bound, and not the API, ends the hold, one call asks before all others do.
  open, level, changed = hold, math.max(level, 1), true
end

if changed then
  redis.call('HSET', KEYS[1], 'open_until', string.format('%.0f', open), 'level', level,
    'hold_until', string.format('%.0f', hold))
  redis.call('PEXPIRE', KEYS[1], math.max(open, hold, now) - now + 600000)
  redis.call('PUBLISH', ARGV[9], '')
end
return {now, open, level, hold}
