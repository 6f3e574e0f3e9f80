-- The members of a channel.
--
-- KEYS: 1 the channel's state, 2 ids in their order (a sorted set, all scores 0), 3 data by id, 4 number of connections by id,
--       5 since when in ms those without a connection are gone (a sorted set), 6 ids by connection of one node.
-- ARGV: 1 topic of the channel, 2 command that publishes, 3 ms of grace, 4 ms for which all of this is remembered.
local grace, keep = tonumber(ARGV[3]), ARGV[4]
local newest = '0'

local function integer(number)
  return string.format('%.0f', number)
end

-- Tells who came or went. The numbers go up even when the server has forgotten the last one: they are microseconds.
local function tell(kind, id, data)
  local time = redis.call('TIME')
  local last = tonumber(redis.call('HGET', KEYS[1], 'c') or 0)
  newest = integer(math.max(last + 1, time[1] * 1000000 + time[2]))
  redis.call('HSET', KEYS[1], 'c', newest)
  redis.call(ARGV[2], ARGV[1], kind .. newest .. ' ' .. #id .. ' ' .. id .. data)
end

-- A connection of the member is gone.
local function disconnect(id)
  if redis.call('HINCRBY', KEYS[4], id, -1) <= 0 then
    redis.call('HDEL', KEYS[4], id)
    redis.call('ZADD', KEYS[5], integer(now_ms()), id)
  end
end

-- Those leave whose grace time is over. Answers in how many ms the next will, or -1.
local function expire()
  local now = now_ms()
  local due = redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', integer(now - grace), 'LIMIT', '0', '1000')
  for _, id in ipairs(due) do
    redis.call('ZREM', KEYS[5], id)
    local data = redis.call('HGET', KEYS[3], id)
    if data then
      redis.call('HDEL', KEYS[3], id)
      redis.call('ZREM', KEYS[2], id)
      tell('l', id, data)
    end
  end
  local next = redis.call('ZRANGE', KEYS[5], '0', '0', 'WITHSCORES')
  return next[2] and math.max(0, tonumber(next[2]) + grace - now) or -1
end

-- Answers the number of the newest change that was told, and in how many ms the next member will leave.
local function finish(next)
  for _, key in ipairs(KEYS) do
    if key ~= KEYS[1] then
      redis.call('PEXPIRE', key, keep)
    elseif redis.call('PTTL', key) < tonumber(keep) then
      redis.call('PEXPIRE', key, keep)
    end
  end
  return {newest, next}
end
