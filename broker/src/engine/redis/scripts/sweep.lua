-- All connections of a node are gone if it has not renewed its lease. Members leave whose grace time is over.
--
-- KEYS and ARGV as in roster.lua, KEYS: 7 nodes, ARGV: 5 node. Without KEYS[6]: nobody is gone.
if KEYS[6] and not is_running(KEYS[7], ARGV[5]) then
  for _, id in ipairs(redis.call('HVALS', KEYS[6])) do
    disconnect(id)
  end
  redis.call('DEL', KEYS[6])
end
return finish(expire())
