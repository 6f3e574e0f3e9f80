-- The members of a channel.
--
-- KEYS: 1 the channel's state, 2 ids in their order (a sorted set, all scores 0), 3 data by id, 4 number of connections by id,
--       5 since when in ms those without a connection are gone (a sorted set), 6 ids by connection of one node.
-- ARGV: 1 topic of the channel, 2 command that publishes, 3 ms of grace, 4 ms for which all of this is remembered, 5 generation of which
--       the node that asks knows, in which it has told of connections (empty for none), 6 the highest number of a change that it knows.
--
-- Under the empty connection KEYS[6] has the generation for which the node has told of its connections. What it has told in another does
-- not count. KEYS[6] stays when the last connection has gone: were it not there, nobody could tell that from its loss.
local grace, keep, known = tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[6])
local generation = redis.call('HGET', KEYS[3], '') or '0'
local newest = '0'

local function integer(number)
  return string.format('%.0f', number)
end

-- Something of the members has vanished, and nobody knows who is here: each node has to tell again, in a new generation.
local function begin_anew()
  redis.call('DEL', KEYS[2], KEYS[3], KEYS[4], KEYS[5])
  generation = integer(math.max(now_us(), tonumber(generation) + 1))
  redis.call('HSET', KEYS[3], '', generation)
  redis.call(ARGV[2], ARGV[1], 'r' .. generation .. ' ')
end

local function is_all_here()
  return is_whole(KEYS[2], KEYS[3], KEYS[4], KEYS[5])
end

-- Makes sure that what this node has told before is there, or is not counted.
local function check()
  if not is_all_here() or (ARGV[5] == generation and redis.call('EXISTS', KEYS[6]) == 0) then
    begin_anew()
  end
  local told = redis.call('HGET', KEYS[6], '')
  if told and told ~= generation then
    redis.call('DEL', KEYS[6])
  end
end

-- The number of the newest change that anybody may have seen. A server may have forgotten it, and its clock be behind that of the one
-- before: then there is room, too, for those changes that nodes find in a list (picture.rs).
local function last_change()
  local last = tonumber(redis.call('HGET', KEYS[1], 'c') or 0)
  return last < known and known + 1000000 or last
end

-- Tells who came or went. The numbers go up even when the server has forgotten the last one: they are microseconds.
local function tell(kind, id, data)
  newest = integer(math.max(last_change() + 1, now_us()))
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
  if not next[2] then
    return -1
  end
  if tonumber(next[2]) > now then
    -- The clock was set back, or that of a server that has taken over is behind: nobody waits for it.
    for _, id in ipairs(redis.call('ZRANGE', KEYS[5], '0', '-1')) do
      redis.call('ZADD', KEYS[5], integer(now), id)
    end
    return grace
  end
  return math.max(0, tonumber(next[2]) + grace - now)
end

-- Answers the number of the newest change that was told, in how many ms the next member will leave, and the generation.
local function finish(next)
  for number = 1, math.min(#KEYS, 6) do
    local key = KEYS[number]
    if number > 1 or redis.call('PTTL', key) < tonumber(keep) then
      redis.call('PEXPIRE', key, keep)
    end
  end
  return {newest, next, generation}
end
