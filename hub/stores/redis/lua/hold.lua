-- key of the hold, offset, the whole hold
-- ok: until when the fork has to begin · trimmed: head, tail
-- Keep the records of a source for a fork at an offset. A while later it is looked whether that has
-- begun; it cannot any more by then.
local stream, offset = state(META), tonumber(ARGV[5])
local refused = refusal(stream)
if refused then return refused end
if offset < stream.head or offset > stream.tail then
  return {'trimmed', stream.head, stream.tail}
end
redis.call('SADD', FORKS, ARGV[4])
redis.call('ZADD', HOLDS, text(now() + HOLD_MS), ARGV[6])
for number = 2, 7 do redis.call('PERSIST', KEYS[number]) end
return {'ok', now() + HOLD_MS / 2}
