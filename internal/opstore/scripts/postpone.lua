-- postpone has recovery look again later, because the operation's task still waits in its queue. It
-- also drops index entries that have no business there any more.
--
-- KEYS  1 record  2 leased index  3 waiting index
-- ARGV  1 id  2 seq  3 fence  4 delay ms  5 '1' when the record could not be read: then whatever it says
--       is postponed
--
-- Returns {'ok', now} | {'stale', now}: the record changed since it was read | {'gone', now}.
local now = now_ms()
local record = load(KEYS[1], EXPIRES_MS)
if not record[STATE] or is_done(record[STATE]) then
  redis.call('ZREM', KEYS[2], ARGV[1])
  redis.call('ZREM', KEYS[3], ARGV[1])
  return {'gone', now}
end
if ARGV[5] ~= '1' and (record[SEQ] ~= ARGV[2] or record[FENCE] ~= ARGV[3] or tonumber(record[LEASE_MS]) > now) then
  return {'stale', now}
end
local leased = redis.call('ZREM', KEYS[2], ARGV[1])
local look, expires = now + tonumber(ARGV[4]), tonumber(record[EXPIRES_MS]) or 0
if expires > now and expires < look then look = expires end
if ARGV[5] == '1' then
  -- Its kind is not known, so it stays in the index that it was in: in no other would anybody find it.
  if leased == 1 then redis.call('ZADD', KEYS[2], look, ARGV[1]) end
  redis.call('ZADD', KEYS[3], 'XX', look, ARGV[1])
else
  redis.call('ZADD', KEYS[3], look, ARGV[1])
end
return {'ok', now}
