-- The time of the server: one clock for all nodes. In microseconds,
local function now_us()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- and in milliseconds.
local function now_ms()
  return math.floor(now_us() / 1000)
end
