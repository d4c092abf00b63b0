-- channel, generation, number of its first record ('': whatever it is), n, blob, close,
-- version of the queue ('-': whatever it is), hold
-- ok: epoch, tail, change · number: that of the next record · over · changed
-- The last record is the terminal event. Also for whoever interrupts another's generation.
local channel, generation, number, n, blob, close = unpack(ARGV, 4, 9)
local stream = state(META)
local refused = refusal(stream)
if refused then return refused end
if stream.running ~= generation then return {'over'} end
local written, began = unpack(redis.call('HMGET', META, 'number', 'began'))
if number ~= '' and written ~= number then return {'number', tonumber(written)} end
if ARGV[10] ~= '-' and ARGV[10] ~= (stream.queue or '') then return {'changed'} end

local first, notice, fields = stream.tail, {running = ''}, {}
local failed = add(stream, RECORDS, EPOCHS, tonumber(n), blob)
if failed then return failed end
if close ~= '' then
  notice.closed = '1'
  fields = {'closed', '1'}
end
postpone(stream, notice, fields)
if ARGV[11] ~= '' and stream.queue then enqueue(stream, nil, '1', notice, fields) end
commit(META, stream, first, notice, fields, channel, blob)
redis.call('HDEL', META, 'running', 'node', 'number', 'began', 'cancelled')
redis.call('HSET', GENERATIONS, generation, began .. ':' .. text(stream.tail - 1))
expire(stream)
return {'ok', stream.epoch, stream.tail, stream.change}
