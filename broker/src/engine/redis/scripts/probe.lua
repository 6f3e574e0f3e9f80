-- Tries each command that the broker needs, so that a user who may not do all of it is found at the start, and a server that lacks a
-- command or has another name for it.
--
-- KEYS: a hash, a sorted set, a stream, a set: nothing else uses them.
-- ARGV: a topic that nobody hears, command that publishes.
-- Answers: nothing, or what is not allowed.
local hash, sorted, stream, set = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local tries = {
  {'HSET', hash, 'a', '1'}, {'HGET', hash, 'a'}, {'HMGET', hash, 'a'}, {'HINCRBY', hash, 'a', '1'}, {'HGETALL', hash}, {'HLEN', hash}, {'HEXISTS', hash, 'a'}, {'HSCAN', hash, '0'}, {'HDEL', hash, 'b'},
  {'ZADD', sorted, '0', 'a'}, {'ZSCORE', sorted, 'a'}, {'ZCARD', sorted}, {'ZRANGE', sorted, '0', '0'}, {'ZREVRANGE', sorted, '0', '0'},
  {'ZRANGEBYSCORE', sorted, '-inf', '0'}, {'ZRANGEBYLEX', sorted, '-', '+'}, {'ZREM', sorted, 'b'},
  {'XADD', stream, '1-1', 'a', '1'}, {'XRANGE', stream, '-', '+'}, {'XREVRANGE', stream, '+', '-'}, {'XTRIM', stream, 'MINID', '1'},
  {'SADD', set, 'a'}, {'SMEMBERS', set}, {'SREM', set, 'b'},
  {'EXISTS', set}, {'PTTL', set}, {'PEXPIRE', set, '1000'}, {'TIME'}, {ARGV[2], ARGV[1], ''}, {'DEL', hash, sorted, stream, set},
  {'SET', set, '1', 'PX', '1000'}, {'GET', set}, {'DEL', set},
}
for _, try in ipairs(tries) do
  local answer = redis.pcall(unpack(try))
  local failed = type(answer) == 'table' and answer.err
  -- The words differ between versions of Redis.
  local is_refused = failed and (failed:find('NOPERM') or failed:find('permission') or failed:find('user executing'))
  if is_refused or failed and failed:find('Unknown') then
    return try[1] .. ': ' .. failed
  end
end
return false
