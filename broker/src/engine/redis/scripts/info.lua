-- What is held of a channel, if it is known.
--
-- KEYS: state, history, ids of the members.
-- ARGV: server.
-- Answers: nothing, or epoch, offset, messages, bytes, members.
local state = redis.call('HMGET', KEYS[1], 'e', 's')
if not state[1] or state[2] ~= ARGV[1] then
  return {}
end
local channel = open(ARGV[1], '')
expire(channel)
local messages = channel.offset - channel.first + 1
return {channel.epoch, integer(channel.offset), integer(messages), integer(channel.bytes), redis.call('ZCARD', KEYS[3])}
