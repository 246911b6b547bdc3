-- acceptall accepts several requests of one kind, with their tasks, as accept would accept each by itself. What the new
-- operations among them have in common is done once, since calling Redis from a script costs as much as what it does
-- there; and the requests come without the names of their keys, since reading an argument costs nearly as much.
--
-- A request whose card has an operation of the kind that may be open, comes a second time here, or has had an unblock
-- lately, or whose id is recorded already, is no plain one: it is accepted by itself, after the others. That takes longer,
-- so there is an end to it. The id of each was made for it, so it has joined no other before.
--
-- KEYS  1 asynq's pending tasks  2 record of the first request: in another slot, so that a cluster refuses the script
-- ARGV  1 kind  2 lifetime ms  3 limit (0 = none)  4 limit's window ms  5 task type  6 task queue
--       7 grace ms until recovery looks for the task  8 audit keep ms  9 since when the tasks are pending, ns
--       10 the queue's bell  11 prefix of the tasks' keys  12 what all keys of ours begin with
--       13 what the key of the waiting index ends with  14 result ttl ms of an operation that is ended here
--       15 number of what follows: more fields of the records, each with its value: reason, updated_by
--       then of each request: id, public token, digest of the card, message of its task, traceparent or ''
--
-- Returns {'done', now, expiry ms, whether the tasks are enqueued here, {id of a new operation, …}, {id, reply of
-- accept, …}}. A request that is in neither list is to be accepted alone: it was refused, or there were too many.
local now, stamp = now_ms()
local kind, limited = ARGV[1], tonumber(ARGV[3]) > 0
local first, each = 16 + ARGV[15], 5

local ours, ids, records, locks, windows = {}, {}, {}, {}, {}
for at = first, #ARGV, each do
  local n, id = #ids + 1, ARGV[at]
  local shard = ARGV[12] .. string.sub(id, 1, 4) .. '}:'
  ours[n], ids[n], records[n] = shard, id, shard .. 'op:' .. id
  locks[n] = shard .. 'lock:' .. kind .. ':' .. ARGV[at + 2]
  windows[n] = shard .. 'limit:' .. kind .. ':' .. ARGV[at + 2]
end
local some_recorded = redis.call('EXISTS', unpack(records)) > 0
local some_had = limited and redis.call('EXISTS', unpack(windows)) > 0
local taken = redis.call('MGET', unpack(locks))

local due, odd, new, locked, waiting, mine, tasks = tostring(now + tonumber(ARGV[7])), {}, {}, {}, {}, {}, {}
for n, id in ipairs(ids) do
  local lock, shard = locks[n], ours[n]
  if taken[n] or locked[lock] or some_recorded and redis.call('EXISTS', records[n]) == 1
    or some_had and redis.call('EXISTS', windows[n]) == 1 then
    odd[#odd + 1] = n
  else
    local i, index = #new + 1, waiting[shard] or {}
    new[i], locked[lock], tasks[i] = n, true, id .. ':1'
    mine[2 * i - 1], mine[2 * i] = lock, id
    index[#index + 1], index[#index + 2], waiting[shard] = due, id, index
  end
end

local expires, enqueued, created = tostring(now + tonumber(ARGV[2])), 0, {}
if #new > 0 then
  -- When this is refused nothing is written. When something below is, a record that is written is in its index, and a
  -- lock or an entry without a record is passed over.
  redis.call('MSET', unpack(mine))
  for shard, index in pairs(waiting) do redis.call('ZADD', shard .. ARGV[13], unpack(index)) end
  for i, n in ipairs(new) do
    local at = first + each * (n - 1)
    if limited then count_unblock(windows[n], ids[n], tonumber(ARGV[4]), now, true) end
    record_new(records[n], ids[n], kind, ARGV[at + 1], expires, '0', stamp, ARGV[5], ARGV[6], tasks[i], unpack(ARGV, 16, first - 1))
    if ARGV[at + 4] ~= '' then redis.call('HSET', records[n], 'traceparent', ARGV[at + 4]) end
    audit(ours[n] .. 'audit', ids[n], 'accepted')
    created[i] = ids[n]
  end
  for shard in pairs(waiting) do redis.call('PEXPIRE', shard .. 'audit', ARGV[8]) end
  if type(redis.pcall('LPUSH', KEYS[1], unpack(tasks))) == 'number' then
    enqueued = 1
    for i, n in ipairs(new) do
      redis.call('HSET', ARGV[11] .. tasks[i], 'msg', ARGV[first + each * n - 2], 'state', 'pending', 'pending_since', ARGV[9])
    end
    redis.call('PUBLISH', ARGV[10], '')
  end
end

-- To join takes about as long as a new one takes above. Everything else takes several times as long.
local replies, room = {}, 64
for _, n in ipairs(odd) do
  if room <= 0 then break end
  local at, shard = first + each * (n - 1), ours[n]
  local keys = {
    records[n], locks[n], windows[n], shard .. ARGV[13], shard .. 'audit', shard .. 'joined:' .. ids[n], shard .. 'leased',
    ARGV[11] .. ids[n] .. ':1', KEYS[1],
  }
  local args = {
    ids[n], kind, ARGV[at + 1], ARGV[2], '0', ARGV[3], ARGV[4], ARGV[5], ARGV[6], ids[n] .. ':1', ARGV[7], shard .. 'op:', '0',
    ARGV[8], ARGV[14], ARGV[at + 3], ARGV[9], ARGV[10], unpack(ARGV, 16, first - 1),
  }
  if ARGV[at + 4] ~= '' then set(args, 'traceparent', ARGV[at + 4]) end
  local known, reply = pcall(function() return accept_one(keys, args, now, stamp) end)
  if known then set(replies, ids[n], reply) end
  room = room - (known and reply[1] == 'joined' and 1 or 4)
end
return {'done', now, expires, enqueued, created, replies}
