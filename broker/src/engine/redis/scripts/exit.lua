-- A connection is gone.
--
-- KEYS and ARGV as in roster.lua, and ARGV: 7 connection.
check()
local id = redis.call('HGET', KEYS[6], ARGV[7])
if id then
  redis.call('HDEL', KEYS[6], ARGV[7])
  disconnect(id)
end
return finish(expire())
