-- begin takes the lease of an operation, or says why not. It is the first thing a task does, and it is
-- done again by the holder before each further attempt of the same run.
--
-- KEYS  1 record  2 leased index  3 waiting index  4 audit stream
-- ARGV  1 id  2 seq of the task  3 name of the run  4 lease ms  5 fence of the holder, or 0 for a new run
--       6 '1' when the step sends an unblock  7 '1' when the step counts as an attempt
--       8 number of this call  9 type of the task
--
-- Returns {outcome, now, record}; there is no record when it is missing, held or stale, or a mismatch.
-- Outcomes:
--   go       the lease is the caller's; the attempt is counted; if the step sends an unblock, the record
--            now says that one may be on its way (call = open), unless it said so before (call = was)
--   early    the lease is the caller's, but the next attempt is not due before next_ms
--   expired  the lease is the caller's, to finish the operation: nothing may be sent any more
--   done     the operation has ended
--   held     another run holds the lease
--   stale    the task, or the fence, has been superseded
--   mismatch  the task is of a type that the operation does not wait for
--   missing  there is no such record
local now, stamp = now_ms()
local record = load(KEYS[1], TRACEPARENT)
if not record[STATE] then return {'missing', now} end
if is_done(record[STATE]) then return {'done', now, load(KEYS[1], ERROR)} end
if tonumber(ARGV[2]) < tonumber(record[SEQ]) then return {'stale', now} end
if ARGV[9] and ARGV[9] ~= record[TASK_TYPE] then return {'mismatch', now} end

-- The call that is repeated has its lease already, its attempt is counted, and what it marked as open was
-- not sent.
local repeated = is_repeat(record, ARGV[8])
local fence = record[FENCE]
if ARGV[5] == '0' then
  if tonumber(record[LEASE_MS]) > now and not repeated then return {'held', now} end
  if not repeated then fence = tostring(fence + 1) end
elseif ARGV[5] ~= fence then
  return {'stale', now}
end

local lease = tostring(now + ARGV[4])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('ZADD', KEYS[2], lease, ARGV[1])
local fields = {FENCE, fence, SEQ, ARGV[2], LEASE_MS, lease, WROTE, ARGV[8] or '', RUN, ARGV[3]}

if now >= tonumber(record[EXPIRES_MS]) then
  change(KEYS[1], ARGV[1], record, fields, KEYS[4], 'expired', fence, stamp)
  return {'expired', now, record}
end
if (tonumber(record[NEXT_MS]) or 0) > now then
  write(KEYS[1], record, fields)
  return {'early', now, record}
end
-- The first call that found it early did not count it, and it may be due by now.
if repeated and (record[NEXT_MS] or '') == '' then
  write(KEYS[1], record, fields)
  return {'go', now, record}
end
go(KEYS[1], ARGV[1], record, fields, ARGV[6], ARGV[7], KEYS[4], fence, stamp)
return {'go', now, record}
