-- redispatch makes a new task the operation's own, because the one it had is lost or its worker is. The
-- fence goes up, so that a run that was only slow can write nothing any more, and so does the sequence,
-- so that the old task does nothing should it come back.
--
-- KEYS  1 record  2 leased index  3 waiting index  4 audit stream
-- ARGV  1 id  2 seq  3 fence  4 task queue  5 grace ms until recovery looks again  6 number of this call
--
-- Returns {'ok', now, seq, task id} | {'stale', now}: the record changed since it was read.
local now, stamp = now_ms()
local record = load(KEYS[1], WROTE)
if is_repeat(record, ARGV[6]) then return {'ok', now, record[SEQ], ARGV[1] .. ':' .. record[SEQ]} end
if not record[STATE] or is_done(record[STATE]) or record[SEQ] ~= ARGV[2] or record[FENCE] ~= ARGV[3]
  or tonumber(record[LEASE_MS]) > now then
  return {'stale', now}
end
local seq = tostring(record[SEQ] + 1)
local task = ARGV[1] .. ':' .. seq
change(KEYS[1], ARGV[1], record, {
  SEQ, seq, FENCE, record[FENCE] + 1, LEASE_MS, '0', TASK_QUEUE, ARGV[4], TASK_ID, task, WROTE, ARGV[6] or '',
}, KEYS[4], 'redispatched', '', stamp)
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[3], now + tonumber(ARGV[5]), ARGV[1])
return {'ok', now, seq, task}
