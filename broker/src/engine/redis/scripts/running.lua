-- Whether a node has a lease that has not run out. The nodes are a sorted set: until when in ms.
local function is_running(nodes, node)
  local till = redis.call('ZSCORE', nodes, node)
  return till and tonumber(till) >= now_ms()
end
