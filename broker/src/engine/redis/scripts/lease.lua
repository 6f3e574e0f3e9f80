-- A node renews its lease.
--
-- KEYS: nodes (a sorted set: until when in ms).
-- ARGV: node, ms of the lease.
-- Answers: 1 if it had one that has not run out, and the nodes whose leases have.
local now = now_ms()
local till = redis.call('ZSCORE', KEYS[1], ARGV[1])
local had = till and tonumber(till) >= now and 1 or 0
redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[2])), ARGV[1])
return {had, redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. string.format('%.0f', now))}
