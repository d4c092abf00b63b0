-- Not with the prelude: leases are of no partition.
-- node, generation:stream, how long a node may take to renew its first lease, in milliseconds
redis.call('SADD', KEYS[2], ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], 'NX', string.format('%.0f', now + ARGV[3]), ARGV[1])
return 1
