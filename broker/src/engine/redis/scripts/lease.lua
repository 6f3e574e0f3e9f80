-- A node renews its lease.
--
-- KEYS: nodes.
-- ARGV: node, ms of the lease.
-- Answers: 1 if it had one that has not run out, and the nodes whose leases have.
local had = is_running(KEYS[1], ARGV[1]) and 1 or 0
local now = now_ms()
redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[2])), ARGV[1])
return {had, redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. string.format('%.0f', now))}
