-- chain records that the API accepted the unblock and makes the confirmation the operation's next task.
-- The lease is given up: the confirming task takes its own.
--
-- KEYS  1 record  2 leased index  3 waiting index  4 audit stream
-- ARGV  1 id  2 fence  3 task type  4 task queue  5 grace ms until recovery looks for the task
--       6 number of this call
--
-- Returns {'ok', now, seq, task id} | {'stale', now}.
local now, stamp = now_ms()
local record = load(KEYS[1], WROTE)
if is_repeat(record, ARGV[6]) then return {'ok', now, record[SEQ], ARGV[1] .. ':' .. record[SEQ]} end
if not owns(record, ARGV[2]) then return {'stale', now} end
local seq = tostring(record[SEQ] + 1)
local task = ARGV[1] .. ':' .. seq
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[3], now + tonumber(ARGV[5]), ARGV[1])
change(KEYS[1], ARGV[1], record, {
  STATE, 'confirming', ACCEPTED_MS, stamp, CALL, '', TRIES, '0', READS, '0', LEASE_MS, '0', SEQ, seq,
  TASK_TYPE, ARGV[3], TASK_QUEUE, ARGV[4], TASK_ID, task, WROTE, ARGV[6] or '', LAST_CODE, '',
}, KEYS[4], 'unblock_accepted', '', stamp)
return {'ok', now, seq, task}
