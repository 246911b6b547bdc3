-- Shared by the scripts: what one uses of it is put before it, behind the names of a record's fields, which come
-- from record.go: FIELDS lists them, and STATE, FENCE and so on are their positions. A function uses only those before
-- it.
--
-- Times are milliseconds since 1970 by the clock of Redis, never by a client's.
--
-- When Redis is out of memory it refuses a script's write that may need some, unless the script has
-- written before. So what a worker has to get done begins with a write that needs none (ZREM), and what
-- asks for more work does not.
--
-- Every call of Redis from a script costs about as much as what it does there, so a script reads a record
-- once and writes it once. Making a number a text costs as much as a cheap call, so what goes to Redis twice
-- is made one once.

-- now_ms returns the time, as a number and as a text.
local function now_ms()
  local t = redis.call('TIME')
  local text = t[1] .. string.sub('00000' .. t[2], -6, -4)
  return tonumber(text), text
end

local function is_done(state)
  return state == 'succeeded' or state == 'failed'
end

-- load reads a record: its fields by their positions, each false where there is none. last is the position
-- of the last field that is wanted.
local function load(op, last)
  return redis.call('HMGET', op, unpack(FIELDS, 1, last))
end

-- write sets fields of a record, in Redis and in what was loaded. They are a list of positions and values,
-- which write uses up.
local function write(op, record, fields)
  for i = 1, #fields, 2 do
    local position = fields[i]
    record[position] = fields[i + 1]
    fields[i] = FIELDS[position]
  end
  redis.call('HSET', op, unpack(fields))
end

-- set adds a field to such a list.
local function set(fields, position, value)
  local n = #fields
  fields[n + 1], fields[n + 2] = position, value
end

-- audit appends one event of an operation. keep_ms is how long the stream remembers. Every operation ends,
-- and what ends it says so; of the others accept alone keeps the stream as long.
local function audit(stream, id, event, detail, now, keep_ms)
  if not keep_ms then
    redis.call('XADD', stream, '*', 'id', id, 'event', event, 'detail', detail or '')
    return
  end
  redis.call('XADD', stream, 'MINID', '~', string.format('%.0f', now - keep_ms), '*',
    'id', id, 'event', event, 'detail', detail or '')
  redis.call('PEXPIRE', stream, keep_ms)
end

-- record_new writes the record of an operation that is accepted. What comes last are more fields of it and their values.
-- What changes most comes first: Redis looks for a field from the beginning. A field that would be empty is left out:
-- each costs Redis as much as a cheap command.
local function record_new(op, id, kind, token, expires, keep_until, stamp, task_type, task_queue, task_id, ...)
  redis.call('HSET', op,
    'state', 'accepted', 'ver', '1', 'fence', '0', 'lease_ms', '0', 'seq', '1', 'keep_until_ms', keep_until,
    'tries', '0', 'attempts', '0', 'reads', '0', 'updated_ms', stamp, 'expires_ms', expires,
    'task_type', task_type, 'task_queue', task_queue, 'task_id', task_id,
    'id', id, 'kind', kind, 'token', token, 'created_ms', stamp, ...)
end

-- change ends every script that changed a record: it writes the fields, counts and dates the change, appends
-- it to the audit stream and tells whoever waits the state. The channel bears the name of the record's key. stamp is
-- the time as a text.
-- With result, the status and the error of an operation that ends, it tells all that a waiter does not know who has
-- read the record before (watch.go reads it). The record was loaded up to ATTEMPTS then.
local function change(op, id, record, fields, stream, event, detail, stamp, keep_ms, result)
  local version = tostring(record[VER] + 1)
  set(fields, VER, version)
  set(fields, UPDATED_MS, stamp)
  write(op, record, fields)
  audit(stream, id, event, detail, stamp, keep_ms)
  local told = record[STATE]
  if result then
    told = told .. '\n' .. version .. '\n' .. stamp .. '\n' .. (record[ACCEPTED_MS] or '') .. '\n' .. record[ATTEMPTS] .. '\n' .. result
  end
  redis.call('PUBLISH', op, told)
end

-- go begins an attempt whose lease is the caller's: it is counted where sends and counts, of the step, say so, and
-- marked when it may send an unblock. fields are written along.
local function go(op, id, record, fields, sends, counts, stream, fence, stamp)
  set(fields, NEXT_MS, '')
  set(fields, TRIES, record[TRIES] + 1)
  if record[STATE] == 'accepted' then set(fields, STATE, 'running') end
  if counts == '1' then set(fields, ATTEMPTS, record[ATTEMPTS] + 1) end
  if sends == '1' then set(fields, CALL, (record[CALL] or '') == '' and 'open' or 'was') end
  change(op, id, record, fields, stream, 'begun', fence, stamp)
end

-- done ends a task of asynq that is active, as asynq does: KEYS[first] are its active tasks, then come their leases, the
-- task, and how many were processed today and in all. One that is not active any more it leaves as it is.
local function done(first, id, until_s)
  if redis.call('LREM', KEYS[first], 0, id) == 0 then return end
  redis.call('ZREM', KEYS[first + 1], id)
  redis.call('DEL', KEYS[first + 2])
  if redis.call('INCR', KEYS[first + 3]) == 1 then redis.call('EXPIREAT', KEYS[first + 3], until_s) end
  -- It begins anew at the end of the numbers.
  if type(redis.pcall('INCR', KEYS[first + 4])) ~= 'number' then redis.call('SET', KEYS[first + 4], '1') end
end

-- full_until returns how long, in ms, until another unblock would be let through, or nil when one is now.
-- It writes nothing. When the one in the way leaves is found by counting: a producer may not list what is in a
-- sorted set (deploy/users.acl).
local function full_until(window_key, limit, window, now)
  local since = string.format('(%.0f', now - window)
  local recent = redis.call('ZCOUNT', window_key, since, '+inf')
  if recent < limit then return nil end
  local before, at = now - window, now
  while at - before > 1 do
    local between = math.floor((before + at) / 2)
    if redis.call('ZCOUNT', window_key, since, string.format('%.0f', between)) > recent - limit then
      at = between
    else
      before = between
    end
  end
  return at + window - now
end

-- count_unblock counts an accepted unblock, which may be known to be the first.
local function count_unblock(window_key, member, window, now, is_first)
  redis.call('ZADD', window_key, now, member)
  if not is_first then redis.call('ZREMRANGEBYSCORE', window_key, '-inf', now - window) end
  redis.call('PEXPIRE', window_key, window)
end

-- is_repeat reports whether this very call was made before: a client repeats a command whose reply it
-- lost. Each call bears a number of its own, which the record keeps as wrote.
local function is_repeat(record, number)
  return number ~= nil and record[WROTE] == number
end

-- owns reports whether the fence is still the record's and the operation still open. A lapsed lease does
-- not matter here: until somebody else takes it, and with it a higher fence, the work is not in doubt.
local function owns(record, fence)
  return record[FENCE] == fence and not is_done(record[STATE])
end

-- can_only_expire reports that an open operation can do nothing else. An unblock is marked before it is sent, and the mark
-- stays until the API is known not to have applied it. A record that cannot be read is left to recovery.
local function can_only_expire(record, now)
  local expires, lease = tonumber(record[EXPIRES_MS]), tonumber(record[LEASE_MS])
  return expires and lease and now >= expires and now >= lease and (record[CALL] or '') == '' and (record[ACCEPTED_MS] or '') == ''
end

-- remember keeps a record for an idempotency key.
local function remember(op, keep_until)
  if keep_until and keep_until > tonumber(redis.call('HGET', op, 'keep_until_ms') or '0') then
    redis.call('HSET', op, 'keep_until_ms', keep_until)
  end
end

-- accept_one accepts one request. keys, args and what it returns are those of accept.lua.
local function accept_one(keys, args, now, stamp)
  local keep_until = args[13] ~= '0' and now + tonumber(args[13])
  -- Mostly there is neither the record nor the task, and the card has had no unblock lately: one look for all of that.
  local is_new = redis.call('EXISTS', keys[1], keys[3], keys[8] or keys[3]) == 0
  if not is_new and redis.call('EXISTS', keys[1]) == 1 then return {'exists', now, load(keys[1], ERROR)} end
  local others = redis.call('MGET', keys[6], keys[2])
  if others[1] then
    local record = load(args[12] .. others[1], ERROR)
    if record[STATE] then return {'joined', now, record} end
  end

  local op = others[2] and args[12] .. others[2]
  local open = op and load(op, ERROR)
  if open and (not open[STATE] or is_done(open[STATE])) then open = nil end
  if open and not can_only_expire(open, now) then
    remember(op, keep_until)
    -- The key is bound to this request's id. Whoever comes with the key, now or after the operation has
    -- ended, comes with that id and has to find the same operation.
    if keep_until then redis.call('SET', keys[6], others[2], 'PX', args[13]) end
    audit(keys[5], others[2], 'joined')
    return {'joined', now, open}
  end

  local limit, window = tonumber(args[6]), tonumber(args[7])
  if limit > 0 then
    local wait = not is_new and full_until(keys[3], limit, window, now)
    if wait then return {'limit', now, wait} end
  end
  -- Before the record: whatever is refused below, no operation is there that recovery does not find.
  redis.call('ZADD', keys[4], now + tonumber(args[11]), args[1])
  if limit > 0 then count_unblock(keys[3], args[1], window, now, is_new) end

  if open then
    local why = overdue(open[LAST_CODE])
    change(op, others[2], open, {STATE, 'failed', LEASE_MS, '0', NEXT_MS, '', RUN, '', ERROR, why},
      keys[5], 'failed', cjson.decode(why)['code'], stamp, tonumber(args[14]))
    redis.call('ZREM', keys[4], others[2])
    redis.call('ZREM', keys[7], others[2])
    redis.call('PEXPIRE', op, math.max(tonumber(args[15]), (tonumber(open[KEEP_UNTIL_MS]) or 0) - now))
  end

  local expires = tonumber(args[5])
  if expires == 0 then expires = now + tonumber(args[4]) end
  record_new(keys[1], args[1], args[2], args[3], expires, keep_until or '0', stamp, args[8], args[9], args[10],
    unpack(args, 19))
  redis.call('SET', keys[2], args[1])
  audit(keys[5], args[1], 'accepted')
  redis.call('PEXPIRE', keys[5], args[14]) -- Or the end of an earlier one would take this one's events along.
  -- As asynq does it. Whatever is wrong with the queue, the operation is accepted.
  local enqueued = args[16] ~= '' and (is_new or redis.call('EXISTS', keys[8]) == 0)
    and type(redis.pcall('LPUSH', keys[9], args[10])) == 'number'
  if enqueued then
    redis.call('HSET', keys[8], 'msg', args[16], 'state', 'pending', 'pending_since', args[17])
    redis.call('PUBLISH', args[18], '')
  end
  return {'created', now, expires, open or false, enqueued and 1 or 0}
end
