-- Everything is done that follows from the end of a node: nothing of it is remembered, unless it has a lease again.
--
-- KEYS: nodes, the channels that it answered for.
-- ARGV: node.
local till = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not (till and tonumber(till) >= now_ms()) then
  redis.call('DEL', KEYS[2])
  redis.call('ZREM', KEYS[1], ARGV[1])
end
