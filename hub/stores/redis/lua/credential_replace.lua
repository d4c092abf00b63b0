-- Not with the prelude: credentials are of no stream.
-- id, the credential as it was read, as it is to be, when it ends
-- 1 if it was replaced; 0 if it is another one by now
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
for _, label in ipairs(cjson.decode(ARGV[2]).labels) do
  redis.call('ZREM', KEYS[4] .. label, ARGV[1])
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('ZADD', KEYS[3], ARGV[4], ARGV[1])
for _, label in ipairs(cjson.decode(ARGV[3]).labels) do
  redis.call('ZADD', KEYS[4] .. label, ARGV[4], ARGV[1])
end
return 1
