-- All connections of a node are gone if it has not renewed its lease. Members leave whose grace time is over.
--
-- KEYS and ARGV as in roster.lua, KEYS: 6 those of the node that may be gone, 7 nodes, ARGV: 7 that node. Without KEYS[6]: nobody is gone.
if not is_all_here() then
  begin_anew()
end
if KEYS[6] and not is_running(KEYS[7], ARGV[7]) then
  local told = redis.call('HGETALL', KEYS[6])
  local told_in = redis.call('HGET', KEYS[6], '') or generation
  if #told == 0 and redis.call('ZCARD', KEYS[2]) > 0 then
    -- Nobody knows any more who was here through it.
    begin_anew()
  elseif told_in == generation then
    for place = 1, #told, 2 do
      if told[place] ~= '' then
        disconnect(told[place + 1])
      end
    end
  end
  -- Whoever sweeps it, too, finds that this was done.
  redis.call('DEL', KEYS[6])
  redis.call('HSET', KEYS[6], '', generation)
end
return finish(expire())
