-- channel, name, token of the fork
-- ok | removed: the source of a fork, or '', and the token with which it is held
-- A fork is gone: the source goes, too, if it was only kept for it.
local stream = state(META)
if not stream then return absent() end
redis.call('SREM', FORKS, ARGV[6])
if redis.call('EXISTS', FORKS) == 1 then return {'ok', '', ''} end
if stream.hidden then
  remove(stream, ARGV[5], ARGV[4])
  return {'removed', stream.source or '', stream.hold or ''}
end
expire(stream)
return {'ok', '', ''}
