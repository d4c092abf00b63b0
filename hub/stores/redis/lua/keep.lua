-- the whole hold, when it was to be looked for, when again ('': never)
-- ok
-- A fork is there.
local hold = ARGV[4]
if redis.call('ZSCORE', HOLDS, hold) ~= ARGV[5] then return {'ok'} end
if ARGV[6] == '' then
  redis.call('ZREM', HOLDS, hold)
else
  redis.call('ZADD', HOLDS, ARGV[6], hold)
end
return {'ok'}
