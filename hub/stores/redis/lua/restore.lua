-- channel, name, epoch and change that the server has ('': no stream), the stream's epoch,
-- number of entries, of epochs, of producers;
-- entries (first, n, blob)…, epochs…, producers (name, epoch:number)…, fields of the hash…
-- ok · no: the server has something else by now, or the stream was removed
-- Put back what the server has lost and a hub still has.
local stream, name = state(META), ARGV[5]
local found = stream and text(stream.epoch) .. ':' .. text(stream.change) or ''
if found ~= ARGV[6] or (stream and stream.life == life) then return {'no'} end
if not stream then
  if tonumber(redis.call('ZSCORE', REMOVED, name) or -1) >= tonumber(ARGV[7]) then return {'no'} end
end
-- A deletion comes first: after it all is allowed, also on a server that has no memory left. What is
-- put back had room before.
redis.call('DEL', EPOCHS)
if not stream then redis.call('DEL', RECORDS, PRODUCERS) end
local entries, epochs, producers = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local at = 11
for _ = 1, entries do
  local added = redis.pcall('XADD', RECORDS, ARGV[at] .. '-' .. ARGV[at + 1], 'b', ARGV[at + 2])
  if type(added) == 'table' and added.err then return added end
  at = at + 3
end
for _ = 1, epochs do
  redis.call('RPUSH', EPOCHS, ARGV[at])
  at = at + 1
end
for _ = 1, producers do
  redis.call('HSET', PRODUCERS, ARGV[at], ARGV[at + 1])
  at = at + 2
end
-- What ended or was cleared meanwhile is not among the fields.
redis.call('DEL', META)
redis.call('HSET', META, 'v', VERSION, unpack(ARGV, at))
local running, began = unpack(redis.call('HMGET', META, 'running', 'began'))
if running then redis.call('HSET', GENERATIONS, running, began) end
stream = state(META)
list(name, stream.owner)
expire(stream)
local header = cjson.encode({reload = '1', change = text(stream.change), epoch = text(stream.epoch),
  first = text(stream.tail)})
redis.call(PUBLISH, ARGV[4], struct.pack('>BI4', VERSION, #header) .. header)
return {'ok'}
