-- All connections of a node are gone if it has not renewed its lease. Members leave whose grace time is over.
--
-- KEYS and ARGV as in roster.lua, KEYS: 7 nodes, ARGV: 5 node. Without KEYS[6]: nobody is gone.
local till = KEYS[6] and redis.call('ZSCORE', KEYS[7], ARGV[5])
if KEYS[6] and not (till and tonumber(till) >= now_ms()) then
  for _, id in ipairs(redis.call('HVALS', KEYS[6])) do
    disconnect(id)
  end
  redis.call('DEL', KEYS[6])
end
return finish(expire())
