-- A connection is here as a member.
--
-- KEYS and ARGV as in roster.lua, and ARGV: 7 connection, 8 id, 9 data.
local connection, id, data = ARGV[7], ARGV[8], ARGV[9]
if generation == '0' and is_all_here() and redis.call('ZCARD', KEYS[2]) == 0 then
  -- Nobody is here, or nothing is left of anybody.
  begin_anew()
end
check()
if tonumber(redis.call('HGET', KEYS[1], 'c') or 0) < known then
  redis.call('HSET', KEYS[1], 'c', integer(last_change()))
end
expire()
redis.call('HSET', KEYS[6], '', generation)
local before = redis.call('HGET', KEYS[6], connection)
if before ~= id then
  if before then
    disconnect(before)
  end
  redis.call('HSET', KEYS[6], connection, id)
  redis.call('HINCRBY', KEYS[4], id, 1)
end
redis.call('ZREM', KEYS[5], id)
redis.call('ZADD', KEYS[2], '0', id)
local shown = redis.call('HGET', KEYS[3], id)
if shown ~= data then
  redis.call('HSET', KEYS[3], id, data)
  tell(shown and 'c' or 'j', id, data)
end
return finish(expire())
