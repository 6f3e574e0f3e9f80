-- The members of a channel are in several keys. A server that is full may evict one of them (or somebody deletes it), and what is left
-- would be taken for all that there is. So they are written such that one can tell: who is listed has data, and either connections or a
-- time since when there are none.
--
-- The data of nobody, under the empty id, are the generation of the members, if they have begun anew with these scripts.

-- Whether all of them are there: ids in their order, data by id, number of connections by id, since when others have none.
local function is_whole(ids, data, connections, gone)
  local listed = redis.call('ZCARD', ids)
  return redis.call('HLEN', data) - redis.call('HEXISTS', data, '') == listed
    and redis.call('HLEN', connections) + redis.call('ZCARD', gone) == listed
end
