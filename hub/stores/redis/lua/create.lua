-- channel, name, n, blob, close, expires ('': never), until when its source is held for it, head,
-- tail, number of epochs, epochs…, fields of the hash…
-- new: epoch, tail, change · exists: epoch, tail, change, closed, the hash · moved
local channel, name, n, blob, close, expires, held = unpack(ARGV, 4, 10)
n = tonumber(n)
local stream = state(META)
if stream and stream.hidden then return {'gone'} end
if stream then
  return {'exists', stream.epoch, stream.tail, stream.change, stream.closed and 1 or 0,
    redis.call('HGETALL', META)}
end
local left = settling()
if left > 0 then return {'settling', left} end
if held ~= '' and now() > tonumber(held) then return {'moved'} end

local removed, count = tonumber(redis.call('GET', EPOCH) or -1), tonumber(ARGV[13])
local used = tonumber(redis.call('ZSCORE', USED, name) or forgotten())
local epoch, lives, earlier = math.max(tonumber(life), removed + 1), {}, false
for at = 14, 13 + count do
  local past, first = string.match(ARGV[at], '^(%d+):(%d+)$')
  epoch = math.max(epoch, past + 1)
  -- In the others another stream may have had the name.
  if tonumber(past) > used then table.insert(lives, {past, first}) else earlier = true end
end
table.insert(lives, {text(epoch), ARGV[12]})
if earlier then lives[1][2] = '0' end
stream = {epoch = epoch, head = ARGV[11], tail = tonumber(ARGV[12]), change = 0, life = life,
  largest = 0, expires = expires ~= '' and expires}
local fields = {'v', VERSION, 'born', text(epoch), 'head', ARGV[11], 'largest', '0'}
for at = 14 + count, #ARGV do table.insert(fields, ARGV[at]) end
if expires ~= '' then
  table.insert(fields, 'expires')
  table.insert(fields, expires)
end
if close ~= '' then
  table.insert(fields, 'closed')
  table.insert(fields, '1')
end
-- Whatever is left of a stream whose hash was lost is not of this one.
local first = stream.tail
local failed = redis.pcall('HSET', META, 'tail', text(first))
if type(failed) == 'table' and failed.err then return failed end
redis.call('DEL', EPOCHS, RECORDS, PRODUCERS, FORKS, GENERATIONS)
for _, one in ipairs(lives) do redis.call('RPUSH', EPOCHS, one[1] .. ':' .. one[2]) end
add(stream, RECORDS, EPOCHS, n, blob)
commit(META, stream, first, {reload = '1'}, fields, channel, '')
list(name, redis.call('HGET', META, 'owner'))
expire(stream)
return {'new', epoch, stream.tail, stream.change}
