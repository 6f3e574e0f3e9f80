-- A part of the history.
--
-- KEYS: state, history.
-- ARGV: server, epoch of a new channel, ms for which a channel is remembered, kind (replay, forward or backward), epoch and
--       offset of the place to read from (both empty for none), most messages, bytes after which no message follows.
-- Answers: epoch, newest offset, 1 unless messages are lost, offset of the last that is given, entries.
local kind, since_epoch, since = ARGV[4], ARGV[5], tonumber(ARGV[6])
local messages, bytes = tonumber(ARGV[7]), tonumber(ARGV[8])
local channel, refused = open_to_read(ARGV[1], ARGV[2])
if refused then
  return refused
end
remember(tonumber(ARGV[3]), channel.age)
expire(channel)
local newest = channel.offset
local known = since_epoch == channel.epoch and since <= newest
local entries = {}

-- Reads a few at a time, so that no more is read than fits.
local function read(command, from, to, step)
  while #entries < messages and bytes > 0 and from * step <= to * step do
    local count = integer(math.min(64, messages - #entries))
    local some = redis.call(command, KEYS[2], integer(from), integer(to), 'COUNT', count)
    if #some == 0 then
      return
    end
    for _, entry in ipairs(some) do
      if bytes <= 0 then
        return
      end
      bytes = bytes - #entry[2][2]
      entries[#entries + 1] = {entry[1], entry[2][2]}
    end
    from = tonumber(string.match(some[#some][1], '^%d+')) + step
  end
end

local function last(none)
  local entry = entries[#entries]
  return entry and string.match(entry[1], '^%d+') or integer(none)
end

if kind == 'replay' then
  if not known or since + 1 < channel.first then
    return {channel.epoch, integer(newest), 0, integer(newest), {}}
  end
  read('XRANGE', since + 1, newest, 1)
  return {channel.epoch, integer(newest), 1, last(since), entries}
end

if kind == 'forward' then
  local from, recovered = channel.first, 0
  if since_epoch == '' then
    from, recovered = math.max(channel.first, newest - messages + 1), 1
  elseif known and since + 1 >= channel.first then
    from, recovered = since + 1, 1
  end
  read('XRANGE', from, newest, 1)
  return {channel.epoch, integer(newest), recovered, last(newest), entries}
end

local till = known and since - 1 or newest
read('XREVRANGE', till, channel.first, -1)
local recovered = (known or since_epoch == '') and 1 or 0
return {channel.epoch, integer(newest), recovered, last(known and since or newest), entries}
