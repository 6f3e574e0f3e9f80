-- A channel's order: its epoch, its newest offset, and which messages are still held.
--
-- KEYS[1] is the channel's state, a hash:
--   e epoch, o newest offset, s the server process it was made on, t timestamp of the newest message,
--   f offset of the oldest message held, h its timestamp, b bytes held, a age in ms at which messages expire: 0 when none is held,
--   c number of the newest change of members
-- KEYS[2] is its history, a stream: the id of an entry is <offset>-<timestamp>, its one field is the record. Entries before f may
-- still be there: the server throws away whole blocks of them, which is cheaper.

-- Lua writes large numbers as 1e+15. '%d' is the quickest format without that, but has 32 bits only on some machines.
local whole = string.format('%d', 2 ^ 40) == '1099511627776' and '%d' or '%.0f'

local function integer(number)
  return string.format(whole, number)
end

-- The channel as it is, or a new one. An epoch belongs to one server process: one that was started from an older file, or
-- a replica that had not heard everything, knows smaller offsets than subscribers have seen.
--
-- A server that is full refuses the first write of a script if it can take memory, and none that follows. So that write is the first
-- here, and if it is refused, this answers nothing and why. What another process has left makes room then: it is of no use.
local function open(server, new_epoch)
  local state = redis.call('HMGET', KEYS[1], 'e', 'o', 's', 't', 'f', 'h', 'b', 'a')
  if not state[1] or state[3] ~= server then
    local written = redis.pcall('HSET', KEYS[1], 'e', new_epoch, 'o', '0', 's', server)
    if type(written) == 'table' then
      if state[1] then
        redis.call('DEL', KEYS[1], KEYS[2])
      end
      return nil, written
    end
    if state[1] then
      redis.call('HDEL', KEYS[1], 't', 'f', 'h', 'b', 'a', 'c')
    end
    redis.call('DEL', KEYS[2])
    return {epoch = new_epoch, offset = 0, time = 0, first = 1, oldest = 0, bytes = 0, age = 0, began = 1}
  end
  local offset, age = tonumber(state[2]), tonumber(state[8] or 0)
  return {
    epoch = state[1],
    offset = offset,
    time = tonumber(state[4] or 0),
    first = age > 0 and tonumber(state[5] or 1) or offset + 1,
    oldest = tonumber(state[6] or 0),
    bytes = age > 0 and tonumber(state[7] or 0) or 0,
    age = age,
    began = 0,
  }
end

-- The same for who only reads. A channel may begin even on a server that is full where another process had left it: that took more.
local function open_to_read(server, new_epoch)
  local channel, refused = open(server, new_epoch)
  if refused then
    -- Only if something was deleted, this is not the first write any more.
    channel, refused = open(server, new_epoch)
  end
  return channel, refused
end

-- Nothing is held when the history has expired, or the server has evicted it.
local function notice_loss(channel)
  if channel.first <= channel.offset and redis.call('EXISTS', KEYS[2]) == 0 then
    channel.first = channel.offset + 1
    channel.bytes = 0
  end
end

-- Moves the oldest message that is held to where the limits want it. Nothing is written.
local function trim(channel, messages, bytes, age, now)
  while channel.first <= channel.offset do
    local held = channel.offset - channel.first + 1
    if held <= messages and channel.bytes <= bytes and now - channel.oldest < age then
      return
    end
    local heads = redis.call('XRANGE', KEYS[2], integer(channel.first), '+', 'COUNT', '2')
    if #heads == 2 then
      local offset, time = string.match(heads[2][1], '^(%d+)-(%d+)$')
      channel.first = tonumber(offset)
      channel.oldest = tonumber(time)
      channel.bytes = channel.bytes - #heads[1][2][2]
    else
      channel.first = channel.offset + 1
      channel.bytes = 0
    end
  end
end

-- What can be read now. A server that is full refuses to write down what has expired: then it is found again by the next.
local function expire(channel)
  notice_loss(channel)
  local first = channel.first
  trim(channel, math.huge, math.huge, channel.age, now_ms())
  if channel.first > first then
    local written = redis.pcall('HSET', KEYS[1], 'f', integer(channel.first), 'h', integer(channel.oldest),
      'b', integer(channel.bytes))
    if type(written) == 'number' then
      redis.call('XTRIM', KEYS[2], 'MINID', integer(channel.first))
    end
  end
end

-- What is used lives for this many ms, and for at most a quarter more, so that not every use has to say so.
local function live(key, lifetime)
  redis.call('PEXPIRE', key, integer(lifetime * 5 / 4))
end

-- Whether a use at this time has to say so, when the last one was then: a quarter of the lifetime ends between them.
local function has_to_renew(lifetime, last, time)
  return math.floor(last * 4 / lifetime) < math.floor(time * 4 / lifetime)
end

-- The channel is remembered for so long when nobody uses it.
local function remember(keep, age)
  live(KEYS[1], math.max(keep, age))
end
