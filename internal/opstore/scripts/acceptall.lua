-- acceptall accepts the new operations among several requests of one kind, with their tasks, as accept would accept each
-- by itself. What they have in common is done once, since calling Redis from a script costs as much as what it does there,
-- and they come without the names of their keys, since reading an argument costs nearly as much.
--
-- A request whose card has an operation of the kind that may be open, or has had an unblock lately, or whose id is
-- recorded already, is left to accept. The id of each was made for it, so it has joined no other before.
--
-- Their keys are in several slots, so it is for a Redis that is no cluster.
--
-- KEYS  1 asynq's pending tasks
-- ARGV  1 kind  2 lifetime ms  3 limit (0 = none)  4 limit's window ms  5 task type  6 task queue
--       7 grace ms until recovery looks for the task  8 audit keep ms  9 since when the tasks are pending, ns
--       10 the queue's bell  11 prefix of the tasks' keys  12 what all keys of ours begin with
--       13 what the key of the waiting index ends with
--       14 number of what follows: more fields of the records, each with its value: reason, updated_by
--       then of each request: id, public token, digest of the card, message of its task, traceparent or ''
--
-- Returns {'done', now, expiry ms, whether the tasks are enqueued here, numbers of those that are left}.
local now, stamp = now_ms()
local kind, limited = ARGV[1], tonumber(ARGV[3]) > 0
local first, each = 15 + ARGV[14], 5

local ours, ids, records, locks, windows = {}, {}, {}, {}, {}
for at = first, #ARGV, each do
  local n, id = #ids + 1, ARGV[at]
  local shard = ARGV[12] .. string.sub(id, 1, 4) .. '}:'
  ours[n], ids[n], records[n] = shard, id, shard .. 'op:' .. id
  locks[n] = shard .. 'lock:' .. kind .. ':' .. ARGV[at + 2]
  if limited then windows[n] = shard .. 'limit:' .. kind .. ':' .. ARGV[at + 2] end
end
local some_recorded = redis.call('EXISTS', unpack(records)) > 0
local some_had = limited and redis.call('EXISTS', unpack(windows)) > 0
local taken = redis.call('MGET', unpack(locks))

local left, new, locked = {}, {}, {}
for n, record in ipairs(records) do
  local lock = locks[n]
  if taken[n] or locked[lock] or some_recorded and redis.call('EXISTS', record) == 1
    or some_had and redis.call('EXISTS', windows[n]) == 1 then
    left[#left + 1] = n
  else
    new[#new + 1], locked[lock] = n, true
  end
end
local expires = tostring(now + tonumber(ARGV[2]))
if #new == 0 then return {'done', now, expires, 0, left} end

local mine, due, waiting, tasks = {}, tostring(now + tonumber(ARGV[7])), {}, {}
for i, n in ipairs(new) do
  local index = waiting[ours[n]] or {}
  index[#index + 1], index[#index + 2], waiting[ours[n]] = due, ids[n], index
  mine[2 * i - 1], mine[2 * i], tasks[i] = locks[n], ids[n], ids[n] .. ':1'
end
-- When this is refused nothing is written.
redis.call('MSET', unpack(mine))
for i, n in ipairs(new) do
  local at = first + each * (n - 1)
  if limited then count_unblock(windows[n], ids[n], tonumber(ARGV[4]), now, true) end
  record_new(records[n], ids[n], kind, ARGV[at + 1], expires, '0', stamp, ARGV[5], ARGV[6], tasks[i], unpack(ARGV, 15, first - 1))
  if ARGV[at + 4] ~= '' then redis.call('HSET', records[n], 'traceparent', ARGV[at + 4]) end
end
for shard, index in pairs(waiting) do redis.call('ZADD', shard .. ARGV[13], unpack(index)) end
for _, n in ipairs(new) do audit(ours[n] .. 'audit', ids[n], 'accepted') end
for shard in pairs(waiting) do redis.call('PEXPIRE', shard .. 'audit', ARGV[8]) end
local enqueued = type(redis.pcall('LPUSH', KEYS[1], unpack(tasks))) == 'number'
if enqueued then
  for i, n in ipairs(new) do
    redis.call('HSET', ARGV[11] .. tasks[i], 'msg', ARGV[first + each * n - 2], 'state', 'pending', 'pending_since', ARGV[9])
  end
  redis.call('PUBLISH', ARGV[10], '')
end
return {'done', now, expires, enqueued and 1 or 0, left}
