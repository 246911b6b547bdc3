-- accept records a new operation, or finds the one that the request belongs to.
--
-- KEYS  1 record  2 join lock of card and kind  3 velocity window of card and kind  4 waiting index
--       5 audit stream  6 what a request with an idempotency key has joined  7 leased index
--       8 asynq's task  9 its pending tasks, when the task is enqueued here
-- ARGV  1 id  2 kind  3 public token  4 lifetime ms  5 expiry ms or 0 (then the lifetime counts)
--       6 limit (0 = none)  7 limit's window ms
--       8 task type  9 task queue  10 task id  11 grace ms until recovery looks for the task
--       12 prefix of record keys  13 ms that the record must stay for its idempotency key, or 0
--       14 audit keep ms  15 result ttl ms of an operation that is ended here
--       16 message of the task that is enqueued here, or ''  17 since when it is pending, ns  18 the queue's bell
--       19… more fields of the record, each with its value: reason, updated_by, traceparent
--
-- Nobody joins an operation whose time is over, of which nobody has the lease and no unblock may have been
-- applied: it could only expire. It ends here, as a worker would have ended it, and the request gets a new one.
--
-- Returns {'created', now, expiry ms, record that was ended or nil, whether the task is enqueued here}
--       | {'exists', now, record}: this id was recorded before
--       | {'joined', now, record}: another operation of the kind is open for the card, or was when this
--         id came first
--       | {'limit', now, ms until the next would be accepted}.
local now, stamp = now_ms()
local keep_until = ARGV[13] ~= '0' and now + tonumber(ARGV[13])
local function remember(op)
  if keep_until and keep_until > tonumber(redis.call('HGET', op, 'keep_until_ms') or '0') then
    redis.call('HSET', op, 'keep_until_ms', keep_until)
  end
end

-- is_overdue reports that an open operation can do nothing but expire. An unblock is marked before it is sent, and
-- the mark stays until the API is known not to have applied it. A record that cannot be read is left to recovery.
local function is_overdue(record)
  local expires, lease = tonumber(record[EXPIRES_MS]), tonumber(record[LEASE_MS])
  return expires and lease and now >= expires and now >= lease and (record[CALL] or '') == '' and (record[ACCEPTED_MS] or '') == ''
end

-- Mostly there is neither the record nor the task, and the card has had no unblock lately: one look for all of that.
local is_new = redis.call('EXISTS', KEYS[1], KEYS[3], KEYS[8] or KEYS[3]) == 0
if not is_new and redis.call('EXISTS', KEYS[1]) == 1 then return {'exists', now, load(KEYS[1], ERROR)} end
local others = redis.call('MGET', KEYS[6], KEYS[2])
if others[1] then
  local record = load(ARGV[12] .. others[1], ERROR)
  if record[STATE] then return {'joined', now, record} end
end

local op = others[2] and ARGV[12] .. others[2]
local open = op and load(op, ERROR)
if open and (not open[STATE] or is_done(open[STATE])) then open = nil end
if open and not is_overdue(open) then
  remember(op)
  -- The key is bound to this request's id. Whoever comes with the key, now or after the operation has
  -- ended, comes with that id and has to find the same operation.
  if keep_until then redis.call('SET', KEYS[6], others[2], 'PX', ARGV[13]) end
  audit(KEYS[5], others[2], 'joined')
  return {'joined', now, open}
end

local limit, window = tonumber(ARGV[6]), tonumber(ARGV[7])
if limit > 0 then
  local wait = not is_new and full_until(KEYS[3], limit, window, now)
  if wait then return {'limit', now, wait} end
  count_unblock(KEYS[3], ARGV[1], window, now, is_new)
end

if open then
  local why = overdue(open[LAST_CODE])
  change(op, others[2], open, {STATE, 'failed', LEASE_MS, '0', NEXT_MS, '', RUN, '', ERROR, why},
    KEYS[5], 'failed', cjson.decode(why)['code'], stamp, tonumber(ARGV[14]))
  redis.call('ZREM', KEYS[4], others[2])
  redis.call('ZREM', KEYS[7], others[2])
  redis.call('PEXPIRE', op, math.max(tonumber(ARGV[15]), (tonumber(open[KEEP_UNTIL_MS]) or 0) - now))
end

local expires = tonumber(ARGV[5])
if expires == 0 then expires = now + tonumber(ARGV[4]) end
record_new(KEYS[1], ARGV[1], ARGV[2], ARGV[3], expires, keep_until or '0', stamp, ARGV[8], ARGV[9], ARGV[10],
  unpack(ARGV, 19))
redis.call('SET', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[4], now + tonumber(ARGV[11]), ARGV[1])
audit(KEYS[5], ARGV[1], 'accepted')
redis.call('PEXPIRE', KEYS[5], ARGV[14]) -- Or the end of an earlier one would take this one's events along.
-- As asynq does it. Whatever is wrong with the queue, the operation is accepted.
local enqueued = ARGV[16] ~= '' and (is_new or redis.call('EXISTS', KEYS[8]) == 0)
  and type(redis.pcall('LPUSH', KEYS[9], ARGV[10])) == 'number'
if enqueued then
  redis.call('HSET', KEYS[8], 'msg', ARGV[16], 'state', 'pending', 'pending_since', ARGV[17])
  redis.call('PUBLISH', ARGV[18], '')
end
return {'created', now, expires, open or false, enqueued and 1 or 0}
