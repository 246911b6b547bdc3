-- handover records that the API accepted the unblock, makes the confirmation the operation's next task, and begins
-- it for the caller, all at once: it is chain, asynq's enqueue, asynq's dequeue and begin. The task is active in asynq,
-- as one that the caller's process has taken.
--
-- asynq's keys are not in the operation's slot, so it is for a Redis that is no cluster.
--
-- KEYS  1 record  2 leased index  3 waiting index  4 audit stream
--       asynq's:  5 task  6 mark of the paused queue  7 active tasks  8 their leases
--       9… of the task that is done with it (see done), or none
-- ARGV  1 id  2 fence  3 task type  4 task queue  5 task id  6 asynq's message  7 end of asynq's lease, s
--       8 name of the run  9 lease ms  10 number of this call
--       11 id of the task that is done  12 how long its day is remembered, s
--
-- Returns {'go', now, fence, when it was accepted}: the lease is the caller's | {'stale', now}
--       | {'elsewhere', now}: nothing was done. The queue is paused, or the operation's time is over, or it has got
--         another task in the meantime.
local now, stamp = now_ms()
local record = load(KEYS[1], EXPIRES_MS)
if is_repeat(record, ARGV[10]) then return {'go', now, record[FENCE], record[ACCEPTED_MS]} end
if not owns(record, ARGV[2]) then return {'stale', now} end
local seq = tostring(record[SEQ] + 1)
if ARGV[1] .. ':' .. seq ~= ARGV[5] or now >= tonumber(record[EXPIRES_MS])
  or redis.call('EXISTS', KEYS[5], KEYS[6]) > 0 then
  return {'elsewhere', now}
end
local lease, fence = tostring(now + ARGV[9]), tostring(record[FENCE] + 1)
redis.call('ZREM', KEYS[3], ARGV[1]) -- Where recovery put it if the lease had lapsed.
redis.call('ZADD', KEYS[2], lease, ARGV[1])
redis.call('HSET', KEYS[5], 'msg', ARGV[6], 'state', 'active')
redis.call('LPUSH', KEYS[7], ARGV[5])
redis.call('ZADD', KEYS[8], ARGV[7], ARGV[5])
audit(KEYS[4], ARGV[1], 'unblock_accepted')
change(KEYS[1], ARGV[1], record, {
  STATE, 'confirming', ACCEPTED_MS, stamp, CALL, '', TRIES, '1', READS, '0', FENCE, fence, LEASE_MS, lease, SEQ, seq,
  NEXT_MS, '', RUN, ARGV[8], TASK_TYPE, ARGV[3], TASK_QUEUE, ARGV[4], TASK_ID, ARGV[5], WROTE, ARGV[10], LAST_CODE, '',
}, KEYS[4], 'begun', fence, stamp)
if KEYS[9] then done(9, ARGV[11], ARGV[12]) end
return {'go', now, fence, stamp}
