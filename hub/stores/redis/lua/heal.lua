-- epoch and change of the stream, offset, number of entries; entries (first, n, blob)…
-- ok · no: the stream has changed meanwhile
-- Replace all entries from an offset on, among which some were lost. No other command can: an entry
-- is only added behind the last one.
local stream, start, count = state(META), ARGV[5], tonumber(ARGV[6])
if not stream or text(stream.epoch) .. ':' .. text(stream.change) ~= ARGV[4] then return {'no'} end
redis.call('HDEL', META, 'largest', 'covered')
local before = redis.call('XRANGE', RECORDS, '-', '(' .. start)
redis.call('DEL', RECORDS)
for _, entry in ipairs(before) do
  local first, n = string.match(entry[1], '^(%d+)-(%d+)$')
  if first + n <= tonumber(start) then redis.call('XADD', RECORDS, entry[1], 'b', entry[2][2]) end
end
for at = 7, 6 + 3 * count, 3 do
  redis.call('XADD', RECORDS, ARGV[at] .. '-' .. ARGV[at + 1], 'b', ARGV[at + 2])
end
expire(stream)
return {'ok'}
