-- Everything is done that follows from the end of a node: nothing of it is remembered, unless it has a lease again.
--
-- KEYS: nodes, the channels that it answered for.
-- ARGV: node.
if not is_running(KEYS[1], ARGV[1]) then
  redis.call('DEL', KEYS[2])
  redis.call('ZREM', KEYS[1], ARGV[1])
end
