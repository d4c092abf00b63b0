-- channel, name, fork, when it was to be looked for ('': whenever)
-- ok | removed: the source of a fork, or ''
-- A fork is gone: the source goes, too, if it was only kept for it.
local stream, hold = state(META), ARGV[5] .. '\0' .. ARGV[6]
-- Who has looked for it does not know of one that was held since.
if ARGV[7] ~= '' and redis.call('ZSCORE', HOLDS, hold) ~= ARGV[7] then return {'ok', ''} end
redis.call('ZREM', HOLDS, hold)
if not stream then return absent() end
redis.call('SREM', FORKS, ARGV[6])
if redis.call('EXISTS', FORKS) == 1 then return {'ok', ''} end
if stream.hidden then
  remove(stream, ARGV[5], ARGV[4])
  return {'removed', stream.source or ''}
end
expire(stream)
return {'ok', ''}
