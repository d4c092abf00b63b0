-- channel, name, owner ('': nobody)
-- ok: epoch, tail, change
local name, owner = ARGV[5], ARGV[6]
local stream = state(META)
local refused = refusal(stream)
if refused then return refused end
local failed = add(stream, RECORDS, EPOCHS, 0, '')
if failed then return failed end
commit(META, stream, stream.tail, {owner = owner}, {'owner', owner}, ARGV[4], '')
if stream.owner then redis.call('ZREM', OWNERS, stream.owner .. '\0' .. name) end
if owner == '' then
  redis.call('HDEL', META, 'owner')
else
  redis.call('ZADD', OWNERS, 0, owner .. '\0' .. name)
end
return {'ok', stream.epoch, stream.tail, stream.change}
