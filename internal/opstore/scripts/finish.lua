-- finish ends an operation: the result is written, the join lock released, the waiters woken.
--
-- KEYS  1 record  2 join lock  3 leased index  4 waiting index  5 audit stream
--       6… of the asynq task that is done with it (see done), or none
-- ARGV  1 id  2 fence  3 'succeeded' or 'failed'  4 status, or ''  5 error, or ''
--       6 '1' when the API is now known to have accepted the unblock  7 result ttl ms
--       8 audit keep ms  9 code, or ''  10 'was' when an unblock may have been applied unseen, or ''
--       11 number of this call  12 id of the task  13 how long its day is remembered, s
--
-- Returns {'ok', now} | {'stale', now}. Of a call that is repeated the time is that of the first.
local now, stamp = now_ms()
local record = load(KEYS[1], ATTEMPTS)
if is_repeat(record, ARGV[11]) then return {'ok', tonumber(redis.call('HGET', KEYS[1], 'updated_ms'))} end
if not owns(record, ARGV[2]) then return {'stale', now} end
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('ZREM', KEYS[4], ARGV[1]) -- Where recovery put it if the lease had lapsed.
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
local fields = {
  STATE, ARGV[3], LEASE_MS, '0', CALL, ARGV[10], WROTE, ARGV[11] or '', NEXT_MS, '', RUN, '', ERROR, ARGV[5],
}
local result -- An earlier attempt may have left a status, so without one here it is not known.
if ARGV[4] ~= '' then
  result = ARGV[4] .. '\n' .. ARGV[5]
  set(fields, STATUS, ARGV[4])
  set(fields, OBSERVED_MS, stamp)
end
if ARGV[6] == '1' and (record[ACCEPTED_MS] or '') == '' then set(fields, ACCEPTED_MS, stamp) end
change(KEYS[1], ARGV[1], record, fields, KEYS[5], ARGV[3], ARGV[9], stamp, tonumber(ARGV[8]), result)
redis.call('PEXPIRE', KEYS[1], math.max(tonumber(ARGV[7]), (tonumber(record[KEEP_UNTIL_MS]) or 0) - now))
if KEYS[6] then done(6, ARGV[12], ARGV[13]) end
return {'ok', now}
