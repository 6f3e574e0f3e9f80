-- A connection is here as a member.
--
-- KEYS and ARGV as in roster.lua, and ARGV: 5 connection, 6 id, 7 data.
local connection, id, data = ARGV[5], ARGV[6], ARGV[7]
expire()
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
