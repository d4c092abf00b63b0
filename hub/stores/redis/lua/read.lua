-- offset, bytes
-- ok: entries with so many bytes or more, from the one that covers the offset
-- source: name, offset: the records before that offset are in another stream
local stream, offset, limit = state(META), ARGV[4], tonumber(ARGV[5])
if not stream then return absent() end
if stream.source and tonumber(offset) < tonumber(stream.forked) then
  return {'source', stream.source, tonumber(stream.forked)}
end
local covering = redis.call('XREVRANGE', RECORDS, offset, '-', 'COUNT', 1)[1]
local entries, size, first = {}, 0, covering and covering[1] or offset
local most = entries_of(stream, limit)
repeat
  local found = redis.call('XRANGE', RECORDS, first, '+', 'COUNT', most)
  for _, entry in ipairs(found) do
    if size >= limit then break end
    size = size + #entry[2][2]
    table.insert(entries, entry)
  end
  if #found > 0 then first = '(' .. found[#found][1] end
until #found < most or size >= limit
return {'ok', entries}
