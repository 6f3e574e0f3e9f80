-- Tells the nodes a message that is not kept, unless its idempotency key has been used.
--
-- KEYS: the idempotency key.
-- ARGV: topic of the channel, command that publishes, what is told, ms for which the key is remembered, name of this publication.
-- Answers 1 unless it is a repetition. When a broker asks again because the answer was lost, it is none.
if not redis.call('SET', KEYS[1], ARGV[5], 'NX', 'PX', ARGV[4]) then
  return redis.call('GET', KEYS[1]) == ARGV[5] and 1 or 0
end
redis.call(ARGV[2], ARGV[1], ARGV[3])
return 1
