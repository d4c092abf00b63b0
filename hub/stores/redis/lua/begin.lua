-- channel, generation, node, expected tail, n, blob, most records, version of the queue that it
-- leaves ('': it has not waited), the prompts that stay
-- ok: epoch, tail, change · closed: epoch, tail · busy · moved: tail · begun · changed
local channel, generation, node, expected, n, blob = unpack(ARGV, 4, 9)
local stream = state(META)
local refused = refusal(stream)
if refused then return refused end
if redis.call('HEXISTS', GENERATIONS, generation) == 1 then return {'begun'} end
if stream.closed then return {'closed', stream.epoch, stream.tail} end
if stream.running then return {'busy'} end
local version, prompts = ARGV[11], ARGV[12]
if version ~= '' and version ~= stream.queue then return {'changed'} end
if version == '' and stream.queue and string.sub(stream.queue, -1) == '0' then return {'busy'} end
if text(stream.tail) ~= expected then return {'moved', stream.tail} end

local first = stream.tail
local failed = add(stream, RECORDS, EPOCHS, tonumber(n), blob)
if failed then return failed end
local began = table.concat({text(stream.epoch), text(first), text(stream.tail - 1)}, ':')
local notice = {running = generation, node = node, number = n, began = began}
local fields = {'running', generation, 'node', node, 'number', n, 'began', began}
trim(stream, RECORDS, FORKS, tonumber(ARGV[10]), notice, fields)
postpone(stream, notice, fields)
if version ~= '' then
  enqueue(stream, prompts, '0', notice, fields)
elseif stream.queue then
  enqueue(stream, nil, '0', notice, fields)
end
commit(META, stream, first, notice, fields, channel, blob)
note_generation(stream, generation, began)
expire(stream)
return {'ok', stream.epoch, stream.tail, stream.change}
