-- A node renews its lease.
--
-- KEYS: nodes, when somebody last did so.
-- ARGV: node, ms of the lease.
-- Answers: 1 if it had one that has not run out, and the nodes whose leases have.
local now = now_ms()
local back = tonumber(redis.call('GET', KEYS[2]) or 0) - now
if back > 0 then
  -- The clock was set back, or that of a server that has taken over is behind: so are the ends of all leases.
  local leases = redis.call('ZRANGE', KEYS[1], '0', '-1', 'WITHSCORES')
  for place = 1, #leases, 2 do
    redis.call('ZADD', KEYS[1], string.format('%.0f', leases[place + 1] - back), leases[place])
  end
end
local had = is_running(KEYS[1], ARGV[1]) and 1 or 0
redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[2])), ARGV[1])
redis.call('SET', KEYS[2], string.format('%.0f', now))
return {had, redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. string.format('%.0f', now))}
