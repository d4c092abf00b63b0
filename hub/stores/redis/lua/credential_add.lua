-- Not with the prelude: credentials are of no stream.
-- id, the credential, when it ends, when it was created, until when others must have ended to be
-- removed, how many may be kept
-- new | exists | full
local VALUES, IDS, ENDS, LABELS = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, value, ended, created, kept_since, most = unpack(ARGV)

local function remove(ids)
  for _, id in ipairs(ids) do
    for _, label in ipairs(cjson.decode(redis.call('HGET', VALUES, id)).labels) do
      redis.call('ZREM', LABELS .. label, id)
    end
    redis.call('HDEL', VALUES, id)
    redis.call('ZREM', IDS, id)
    redis.call('ZREM', ENDS, id)
  end
end

if redis.call('HEXISTS', VALUES, id) == 1 then return 'exists' end
remove(redis.call('ZRANGEBYSCORE', ENDS, '-inf', kept_since))
local over = redis.call('HLEN', VALUES) - most + 1
if over > 0 then
  local first = redis.call('ZRANGEBYSCORE', ENDS, '-inf', created, 'LIMIT', 0, over)
  remove(first)
  if #first < over then return 'full' end
end
redis.call('HSET', VALUES, id, value)
redis.call('ZADD', IDS, 0, id)
redis.call('ZADD', ENDS, ended, id)
for _, label in ipairs(cjson.decode(value).labels) do
  redis.call('ZADD', LABELS .. label, ended, id)
end
return 'new'
