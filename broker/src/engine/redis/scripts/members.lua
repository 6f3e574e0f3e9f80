-- A page of the members, ordered by id.
--
-- KEYS: as the first five in roster.lua.
-- ARGV: id after which the page begins (empty for none), most members, bytes of data after which no member follows.
-- Answers: number of the newest change, 1 if there are more, ids and data in turn, 1 unless something of the members has vanished.
local from = ARGV[1] == '' and '-' or '(' .. ARGV[1]
local limit, bytes = tonumber(ARGV[2]), tonumber(ARGV[3])
local page = {}
local more = 0
local change = redis.call('HGET', KEYS[1], 'c')
if not change then
  -- The server has evicted it, or nobody has ever been here. What was told before may still be on its way to a node, and is in the list:
  -- its numbers are lower than this, and those of later changes are higher (roster.lua).
  change = string.format('%.0f', now_us())
end
while more == 0 do
  local ids = redis.call('ZRANGEBYLEX', KEYS[2], from, '+', 'LIMIT', '0', '256')
  if #ids == 0 then
    break
  end
  for _, id in ipairs(ids) do
    if #page >= 2 * limit or bytes <= 0 then
      more = 1
      break
    end
    local data = redis.call('HGET', KEYS[3], id)
    if data then
      page[#page + 1] = id
      page[#page + 1] = data
      bytes = bytes - #data
    end
  end
  from = '(' .. ids[#ids]
end
return {change, more, page, is_whole(KEYS[2], KEYS[3], KEYS[4], KEYS[5]) and 1 or 0}
