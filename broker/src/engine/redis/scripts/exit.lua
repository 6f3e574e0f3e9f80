-- A connection is gone.
--
-- KEYS and ARGV as in roster.lua, and ARGV: 5 connection.
local id = redis.call('HGET', KEYS[6], ARGV[5])
if id then
  redis.call('HDEL', KEYS[6], ARGV[5])
  disconnect(id)
end
return finish(expire())
