-- Forgets announcements that have ended, some of them at a time.
--
-- KEYS: as in announce.lua.
-- ARGV: the most that are forgotten.
-- Answers: how many were forgotten.
local now = string.format('%.0f', now_ms())
local over = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, ARGV[1])
for _, key in ipairs(over) do
  redis.call('HDEL', KEYS[1], key)
  redis.call('ZREM', KEYS[2], key)
end
return #over
