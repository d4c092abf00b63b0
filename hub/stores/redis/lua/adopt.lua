-- what is stored ('': nothing), what to store, the last epoch before it
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
-- A server that was emptied does not know which names were used before.
if ARGV[1] == '' then redis.call('SET', KEYS[2], ARGV[3]) end
return 1
