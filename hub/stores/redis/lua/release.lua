-- channel, name, key of the hold, the whole hold, when it was to be looked for ('': whenever)
-- ok | removed: the source of a fork, or '', and the token with which it is held
-- A fork is gone: the source goes, too, if it was only kept for it.
local stream, hold, due = state(META), ARGV[7], ARGV[8]
-- Who has looked for it does not know of one that was held since.
if due ~= '' and redis.call('ZSCORE', HOLDS, hold) ~= due then return {'ok', '', ''} end
redis.call('ZREM', HOLDS, hold)
if not stream then return absent() end
redis.call('SREM', FORKS, ARGV[6])
if redis.call('EXISTS', FORKS) == 1 then return {'ok', '', ''} end
if stream.hidden then
  remove(stream, ARGV[5], ARGV[4])
  return {'removed', stream.source or '', stream.hold or ''}
end
expire(stream)
return {'ok', '', ''}
