-- The end of a channel, which begins here when it was not known.
--
-- KEYS: state, history.
-- ARGV: server, epoch of a new channel, ms for which a channel is remembered, ms of age.
-- Answers: epoch, offset, 1 for a channel that begins.
local channel, refused = open_to_read(ARGV[1], ARGV[2])
if refused then
  return refused
end
local age = tonumber(ARGV[4])
-- Where nothing was held, nothing is: 'f' and 'b' are older than that. A server that is full refuses this: the next publication says it.
if channel.age ~= age then
  local written = redis.pcall('HSET', KEYS[1], 'a', ARGV[4], 'f', integer(channel.first), 'b', integer(channel.bytes))
  if type(written) == 'number' then
    -- The next publication finds the new age, and renews nothing.
    live(KEYS[2], age)
  end
end
remember(tonumber(ARGV[3]), age)
return {channel.epoch, integer(channel.offset), channel.began}
