-- channel, version of the queue, n, blob, prompts, the rest of them after a position ('': none),
-- held, generation that is added, one that is dropped ('': none), where that began, most records
-- ok: epoch, tail, change · closed: epoch, tail · begun · changed
local channel, version, n, blob, prompts, rest = unpack(ARGV, 4, 9)
local held, added, dropped, began = unpack(ARGV, 10, 13)
local stream = state(META)
local refused = refusal(stream)
if refused then return refused end
if added ~= '' and redis.call('HEXISTS', GENERATIONS, added) == 1 then return {'begun'} end
if stream.closed then return {'closed', stream.epoch, stream.tail} end
if (stream.queue or '') ~= version then return {'changed'} end

local first, notice, fields = stream.tail, {}, {}
local failed = add(stream, RECORDS, EPOCHS, tonumber(n), blob)
if failed then return failed end
if rest ~= '' then
  prompts = prompts .. string.format('%016.0f_%016.0f', stream.epoch, first) .. rest
end
trim(stream, RECORDS, FORKS, tonumber(ARGV[14]), notice, fields)
postpone(stream, notice, fields)
enqueue(stream, prompts, held, notice, fields)
commit(META, stream, first, notice, fields, channel, blob)
if dropped ~= '' then
  note_generation(stream, dropped, began .. ':' .. text(stream.tail - 1))
end
expire(stream)
return {'ok', stream.epoch, stream.tail, stream.change}
