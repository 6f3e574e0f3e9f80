-- Tells the nodes a message that is not kept, unless its idempotency key has been used.
--
-- KEYS: the idempotency key.
-- ARGV: topic of the channel, command that publishes, what is told, ms for which the key is remembered.
-- Answers 1 unless it is a repetition.
if not redis.call('SET', KEYS[1], '', 'NX', 'PX', ARGV[4]) then
  return 0
end
redis.call(ARGV[2], ARGV[1], ARGV[3])
return 1
