-- A broker says which servers share the channels, unless another broker says something else.
--
-- KEYS: what has been said.
-- ARGV: what this broker says, ms for which it counts.
-- Answers: what counts now.
local said = redis.call('GET', KEYS[1])
if said and said ~= ARGV[1] then
  return said
end
if said then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
else
  -- A server that is full refuses this, and can be used all the same.
  redis.pcall('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return ARGV[1]
