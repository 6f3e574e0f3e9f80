-- Gives a message its place, keeps it, and tells the nodes; unless its idempotency key has been used.
--
-- KEYS: state, history, and with an idempotency key its own.
-- ARGV: server, epoch of a new channel, ms for which a channel is remembered, record, topic of the channel, command that
--       publishes, most messages, most bytes, ms of age; with an idempotency key the ms for which it is remembered.
-- Answers: epoch, offset, 1 unless it is a repetition, 1 for a channel that begins.
local record, topic, publish = ARGV[4], ARGV[5], ARGV[6]
local messages, bytes, age = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])

if KEYS[3] then
  local first = redis.call('GET', KEYS[3])
  if first then
    local epoch, offset = string.match(first, '^(%d+) (%d+)$')
    return {epoch, offset, 0, 0}
  end
end

local channel = open(ARGV[1], ARGV[2])
notice_loss(channel)
local now = now_ms()
local time = math.max(now, channel.time)
local offset = channel.offset + 1
channel.offset = offset
local place = integer(offset)
local stamp = integer(time)

if messages > 0 and bytes > 0 and age > 0 then
  redis.call('XADD', KEYS[2], place .. '-' .. stamp, 'r', record)
  if channel.first >= offset then
    channel.first = offset
    channel.oldest = time
    channel.bytes = 0
  end
  channel.bytes = channel.bytes + #record
  local first = channel.first
  trim(channel, messages, bytes, age, now)
  if channel.first > offset then
    redis.call('DEL', KEYS[2])
  else
    if channel.first > first then
      redis.call('XTRIM', KEYS[2], 'MINID', integer(channel.first))
    end
    redis.call('PEXPIRE', KEYS[2], integer(age))
  end
else
  redis.call('DEL', KEYS[2])
  channel.first = offset + 1
  channel.bytes = 0
end

redis.call('HSET', KEYS[1], 'o', place, 't', stamp, 'f', integer(channel.first), 'h', integer(channel.oldest),
  'b', integer(channel.bytes), 'a', integer(age))
remember(tonumber(ARGV[3]), age)
if KEYS[3] then
  redis.call('SET', KEYS[3], channel.epoch .. ' ' .. place, 'PX', ARGV[10])
end
redis.call(publish, topic, 'm' .. channel.epoch .. ' ' .. place .. ' ' .. stamp .. ' ' .. record)
return {channel.epoch, place, 1, channel.began}
