-- yield ends an attempt that did not end the operation: it records what was learned and when the next
-- attempt is due. The holder either keeps the lease, to wait for that itself, or gives it up.
--
-- KEYS  1 record  2 leased index  3 waiting index  4 audit stream
-- ARGV  1 id  2 fence  3 '1' to keep the lease  4 delay ms  5 grace ms until recovery looks for the task
--       6 'was' when an unblock may have been applied unseen, '' when none may
--       7 '1' when a confirming read said blocked  8 status, or ''  9 code of the failure, or ''
--       10 event  11 '1' to give the try back: nothing was asked of the API
--       12 '1' when the step's tries count as attempts  13 number of this call
--
-- Returns {'ok', now} | {'stale', now}.
local now, stamp = now_ms()
local record = load(KEYS[1], READS)
if is_repeat(record, ARGV[13]) then return {'ok', now} end
if not owns(record, ARGV[2]) then return {'stale', now} end
redis.call('ZREM', KEYS[3], ARGV[1])
local due = now + tonumber(ARGV[4])
local fields = {NEXT_MS, due, CALL, ARGV[6], WROTE, ARGV[13] or ''}
if ARGV[7] == '1' then set(fields, READS, record[READS] + 1) end
if ARGV[8] ~= '' then
  set(fields, STATUS, ARGV[8])
  set(fields, OBSERVED_MS, stamp)
end
if ARGV[9] ~= '' then set(fields, LAST_CODE, ARGV[9]) end
if ARGV[11] == '1' then
  set(fields, TRIES, record[TRIES] - 1)
  if ARGV[12] == '1' then set(fields, ATTEMPTS, record[ATTEMPTS] - 1) end
end
if ARGV[3] == '0' then
  set(fields, LEASE_MS, '0')
  redis.call('ZREM', KEYS[2], ARGV[1])
  redis.call('ZADD', KEYS[3], due + tonumber(ARGV[5]), ARGV[1])
else
  redis.call('ZADD', KEYS[2], record[LEASE_MS], ARGV[1]) -- Recovery may have taken it out when the lease had lapsed.
end
change(KEYS[1], ARGV[1], record, fields, KEYS[4], ARGV[10], ARGV[9], stamp)
return {'ok', now}
