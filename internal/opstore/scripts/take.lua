-- take takes a task from its queue and begins its operation, in one step: it is asynq's dequeue and begin. A task that
-- is none of an operation, or whose operation is not plainly waiting for it, is taken only; begin says what is with it.
--
-- Which operation it is turns out here, and asynq's keys are not in its slot, so it is for a Redis that is no cluster.
--
-- KEYS  asynq's:  1 pending tasks  2 mark of the paused queue  3 active tasks  4 their leases
-- ARGV  1 end of asynq's lease, s  2 prefix of the tasks' keys  3 queue  4 name of the run  5 lease ms
--       6 '1' when the step sends an unblock  7 '1' when the step counts as an attempt
--       8 what all keys of ours begin with  9 what the key of the waiting index ends with
--       10… types of the queue's tasks, or none, and then no operation is begun
--
-- Returns nothing when there is no task | {message of asynq, '1' when it was the last in its queue or ''}: it was taken
--       | {message, last, why}: it was taken, and its operation could not be begun because of an error
--       | {message, last, id, seq, now, record}: the lease is the caller's, as after begin's go.
if redis.call('EXISTS', KEYS[2]) == 1 then return false end
local task = redis.call('RPOPLPUSH', KEYS[1], KEYS[3])
if not task then return false end
redis.call('HSET', ARGV[2] .. task, 'state', 'active')
redis.call('HDEL', ARGV[2] .. task, 'pending_since')
redis.call('ZADD', KEYS[4], ARGV[1], task)
local message = redis.call('HGET', ARGV[2] .. task, 'msg')
local taken = {message, redis.call('EXISTS', KEYS[1]) == 0 and '1' or ''}
local shard, rest, seq = string.match(task, '^(cw%d%d)(%-%w+):(%d+)$')
if not message or not shard or not ARGV[10] then return taken end

local function is_of_queue(task_type)
  for i = 10, #ARGV do
    if ARGV[i] == task_type then return true end
  end
end

-- Whatever a record may be like that cannot be read, the task is taken.
local ours, id = ARGV[8] .. shard .. '}:', shard .. rest
local op = ours .. 'op:' .. id
local begun, why = pcall(function()
  local now, stamp = now_ms()
  local record = load(op, TRACEPARENT)
  if record[TASK_ID] ~= task or record[SEQ] ~= seq or record[TASK_QUEUE] ~= ARGV[3] or not is_of_queue(record[TASK_TYPE])
    or is_done(record[STATE]) or tonumber(record[LEASE_MS]) > now or now >= tonumber(record[EXPIRES_MS]) or (tonumber(record[NEXT_MS]) or 0) > now then
    return
  end
  local lease, fence = tostring(now + ARGV[5]), tostring(record[FENCE] + 1)
  redis.call('ZREM', ours .. ARGV[9], id)
  redis.call('ZADD', ours .. 'leased', lease, id)
  local fields = {FENCE, fence, LEASE_MS, lease, WROTE, '', RUN, ARGV[4]}
  go(op, id, record, fields, ARGV[6], ARGV[7], ours .. 'audit', fence, stamp)
  taken = {message, taken[2], id, seq, now, record}
end)
if not begun then taken[3] = type(why) == 'table' and why['err'] or tostring(why) end
return taken
