-- Announces something to all nodes, and keeps it.
--
-- KEYS: kept announcements (a hash: their records), their ends (a sorted set: until when in ms).
-- ARGV: topic, command that publishes on it, node, key, version, ms for which it is kept, record.
-- Answers: 1, or 0 when a newer announcement of the key is kept: nobody is told then.
local now = now_ms()
local kept = redis.call('HGET', KEYS[1], ARGV[4])
local till = kept and redis.call('ZSCORE', KEYS[2], ARGV[4])
-- What has ended counts no longer, even if nobody has forgotten it yet.
local version = till and tonumber(till) > now and tonumber(string.match(kept, '^2 (%d+) '))
if version and version > tonumber(ARGV[5]) then
  return 0
end
local keep = tonumber(ARGV[6])
local refused
if keep > 0 then
  local written = redis.pcall('HSET', KEYS[1], ARGV[4], ARGV[7])
  refused = type(written) == 'table' and written.err and written
end
if keep > 0 and not refused then
  redis.call('ZADD', KEYS[2], string.format('%.0f', now + keep), ARGV[4])
  -- When no node is there any more, nobody else would forget them.
  local last = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2]
  local left = string.format('%.0f', last - now)
  redis.call('PEXPIRE', KEYS[1], left)
  redis.call('PEXPIRE', KEYS[2], left)
elseif keep == 0 and kept then
  redis.call('HDEL', KEYS[1], ARGV[4])
  redis.call('ZREM', KEYS[2], ARGV[4])
end
-- A server that is full keeps nothing more. Those who hear it know it all the same.
redis.call(ARGV[2], ARGV[1], ARGV[3] .. ' ' .. ARGV[7])
return refused or 1
