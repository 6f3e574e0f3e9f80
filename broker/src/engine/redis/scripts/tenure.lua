-- The tenure in which this server process has a part of a cluster: a number that goes up whenever the part comes to another
-- process, and whenever a broker knows a later tenure than is kept here, because data of an earlier time are back.
--
-- KEYS: the tenure, its number and its process.
-- ARGV: this process, number of the latest tenure that the broker knows.
-- Answers: number of the present tenure.
local number, process = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+) (.*)$')
number = tonumber(number or 0)
local known = tonumber(ARGV[2])
if process ~= ARGV[1] or number < known then
  number = math.max(number, known) + 1
  redis.call('SET', KEYS[1], string.format('%.0f', number) .. ' ' .. ARGV[1])
end
return number
