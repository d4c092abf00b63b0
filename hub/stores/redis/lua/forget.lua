-- Not with the prelude: leases are of no partition.
-- node
-- 1 if it was forgotten; 0 if generations of it are left
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
redis.call('ZREM', KEYS[1], ARGV[1])
return 1
