-- bytes
-- ok: the hash, epochs, producers, number of forks, the newest entries with so many bytes or more,
-- the newest first
local stream = state(META)
if not stream then return absent() end
local limit, size, entries, last = tonumber(ARGV[4]), 0, {}, '+'
local most = entries_of(stream, limit)
repeat
  local found = redis.call('XREVRANGE', RECORDS, last, '-', 'COUNT', most)
  for _, entry in ipairs(found) do
    if size >= limit then break end
    size = size + #entry[2][2]
    table.insert(entries, entry)
  end
  if #found > 0 then last = '(' .. found[#found][1] end
until #found < most or size >= limit
local hash = redis.call('HGETALL', META)
if stream.hidden then
  table.insert(hash, 'hidden')
  table.insert(hash, '1')
end
return {'ok', hash, redis.call('LRANGE', EPOCHS, 0, -1),
  redis.call('HGETALL', PRODUCERS), redis.call('SCARD', FORKS), entries}
