-- Gives a message its place, keeps it, and tells the nodes; unless its idempotency key has been used.
--
-- KEYS: state, history, and with an idempotency key its own.
-- ARGV: server, epoch of a new channel (no other publication has the same), ms for which a channel is remembered, record, topic of
--       the channel, command that publishes, most messages, most bytes, ms of age; with an idempotency key the ms for which it is
--       remembered.
-- Answers in one text, which costs less than a list: epoch, offset, 1 unless it is a repetition, 1 for a channel that begins.
local keep, record, topic, publish = tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6]
local messages, bytes, age = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])

if KEYS[3] then
  local place, author = string.match(redis.call('GET', KEYS[3]) or '', '^(%d+ %d+) ?(%d*)$')
  if place and author == ARGV[2] then
    -- The broker asks again, because the answer was lost. To the publisher that is no repetition, and the channel may have begun.
    return place .. ' 1 1'
  elseif place then
    return place .. ' 0 0'
  end
end

local channel, refused = open(ARGV[1], ARGV[2])
if refused then
  return refused
end
local now = now_ms()
local time = math.max(now, channel.time)
local place = integer(channel.offset + 1)
local stamp = integer(time)

-- Adds the message to the history, and trims it. Returns whether another message is the oldest now.
local function hold()
  local id = place .. '-' .. stamp
  local first, added = channel.first, false
  trim(channel, messages - 1, bytes - #record, age, now)
  if channel.first > first then
    added = redis.call('XADD', KEYS[2], 'NOMKSTREAM', 'MINID', '~', integer(channel.first), id, 'r', record)
  elseif first <= channel.offset then
    added = redis.call('XADD', KEYS[2], 'NOMKSTREAM', id, 'r', record)
  end
  local is_alone = not added or channel.first > channel.offset
  if not added then
    -- It is the first, or the history has expired, or the server has evicted it.
    redis.call('XADD', KEYS[2], id, 'r', record)
  end
  if is_alone then
    channel.first, channel.oldest, channel.bytes = channel.offset + 1, time, 0
  end
  channel.bytes = channel.bytes + #record
  if is_alone or age ~= channel.age or has_to_renew(age, channel.time, time) then
    live(KEYS[2], age)
  end
  return is_alone or channel.first > first
end

if messages > 0 and #record <= bytes and age > 0 then
  local moved = hold()
  if moved or age ~= channel.age then
    redis.call('HSET', KEYS[1], 'o', place, 't', stamp, 'b', integer(channel.bytes), 'f', integer(channel.first),
      'h', integer(channel.oldest), 'a', integer(age))
  else
    redis.call('HSET', KEYS[1], 'o', place, 't', stamp, 'b', integer(channel.bytes))
  end
elseif channel.age > 0 then
  -- First what a server that is full refuses.
  redis.call('HSET', KEYS[1], 'o', place, 't', stamp, 'a', '0')
  redis.call('DEL', KEYS[2])
else
  redis.call('HSET', KEYS[1], 'o', place, 't', stamp)
end

local lifetime = math.max(keep, age)
if age ~= channel.age or has_to_renew(lifetime, channel.time, time) then
  live(KEYS[1], lifetime)
end
if KEYS[3] then
  redis.call('SET', KEYS[3], channel.epoch .. ' ' .. place .. ' ' .. ARGV[2], 'PX', ARGV[10])
end
redis.call(publish, topic, 'm' .. channel.epoch .. ' ' .. place .. ' ' .. stamp .. ' ' .. record)
return channel.epoch .. ' ' .. place .. ' 1 ' .. channel.began
