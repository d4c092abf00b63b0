-- generation
-- ok: node · over
local stream = state(META)
local refused = refusal(stream)
if refused then return refused end
if stream.running ~= ARGV[4] then return {'over'} end
redis.call('HSET', META, 'cancelled', '1')
return {'ok', redis.call('HGET', META, 'node')}
