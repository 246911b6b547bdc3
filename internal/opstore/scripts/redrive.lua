-- redrive gives a failed operation another life: same id, attempts counted anew.
--
-- An unblock that was accepted is only confirmed again, whatever it failed with, and never sent again,
-- unless every read said that the card is still blocked. Then, and when one may have been applied unseen, the
-- status is read before anything is sent.
--
-- KEYS  1 record  2 join lock  3 velocity window  4 waiting index  5 audit stream
-- ARGV  1 id  2 lifetime ms  3 limit (0 = none)  4 limit's window ms  5 first task type
--       6 first task queue  7 confirming task type  8 confirming task queue
--       9 grace ms until recovery looks for the task  10 audit keep ms  11 prefix of record keys
--       12 code that means that an accepted unblock did not take  13 number of this call
--
-- Returns {'ok', now, record} | {'missing', now} | {'not_failed', now, record}
--       | {'busy', now, record of the open operation for the card} | {'limit', now, ms until it would be}.
local now, stamp = now_ms()
local record = load(KEYS[1], ERROR)
if is_repeat(record, ARGV[13]) then return {'ok', now, record} end
if not record[STATE] then return {'missing', now} end
if record[STATE] ~= 'failed' then return {'not_failed', now, record} end
local other = redis.call('GET', KEYS[2])
if other and other ~= ARGV[1] then
  local open = load(ARGV[11] .. other, ERROR)
  if open[STATE] and not is_done(open[STATE]) then return {'busy', now, open} end
end

local code = cjson.decode(record[ERROR])['code']
local accepted = (record[ACCEPTED_MS] or '') ~= ''
local confirm = accepted and code ~= ARGV[12]
local limit, window = tonumber(ARGV[3]), tonumber(ARGV[4])
if limit > 0 and not confirm then
  local wait = full_until(KEYS[3], limit, window, now)
  if wait then return {'limit', now, wait} end
  count_unblock(KEYS[3], ARGV[1] .. ':' .. now, window, now)
end

local seq = tostring(record[SEQ] + 1)
local fields = {
  TASK_ID, ARGV[1] .. ':' .. seq, SEQ, seq, FENCE, record[FENCE] + 1, LEASE_MS, '0', ERROR, '', LAST_CODE, '',
  NEXT_MS, '', ATTEMPTS, '0', TRIES, '0', READS, '0', EXPIRES_MS, now + tonumber(ARGV[2]), WROTE, ARGV[13] or '',
}
local first = {STATE, 'accepted', TASK_TYPE, ARGV[5], TASK_QUEUE, ARGV[6], ACCEPTED_MS, ''}
if accepted then set(first, CALL, 'was') end
if confirm then first = {STATE, 'confirming', TASK_TYPE, ARGV[7], TASK_QUEUE, ARGV[8]} end
for _, v in ipairs(first) do fields[#fields + 1] = v end
change(KEYS[1], ARGV[1], record, fields, KEYS[5], 'redriven', '', stamp, tonumber(ARGV[10]))
redis.call('PERSIST', KEYS[1])
redis.call('SET', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[4], now + tonumber(ARGV[9]), ARGV[1])
return {'ok', now, record}
