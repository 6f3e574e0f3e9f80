-- A node still uses a channel: nothing of it is forgotten.
--
-- KEYS: state, then everything of its members.
-- ARGV: ms for which a channel is remembered.
local age = tonumber(redis.call('HGET', KEYS[1], 'a') or 0)
-- As in channel.lua: not every use of the channel renews this.
local lifetime = math.max(tonumber(ARGV[1]), age) * 5 / 4
for _, key in ipairs(KEYS) do
  redis.call('PEXPIRE', key, string.format('%.0f', lifetime))
end
