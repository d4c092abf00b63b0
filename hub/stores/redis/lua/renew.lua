-- Not with the prelude: leases are of no partition.
-- node, how long its lease is, how long it is for who is connected, in milliseconds, and what the
-- names of the channels begin with that nodes are told on; the command that counts who listens
-- the nodes whose lease is over, which are now this one's to end for as long as a lease
-- Nobody loses a lease because the server was away: then nobody could have renewed it.
local NODES, SEEN = KEYS[1], KEYS[2]
local node, lease = ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local till = string.format('%.0f', now + lease)
local idle = now - tonumber(redis.call('GET', SEEN) or 0)
if idle > lease / 2 then
  for _, other in ipairs(redis.call('ZRANGE', NODES, 0, -1)) do
    if idle > lease then
      redis.call('ZADD', NODES, till, other)
    else
      -- Nor for most of a lease. A part counts, or one slow hub would never end a dead one.
      redis.call('ZINCRBY', NODES, string.format('%.0f', idle - lease / 4), other)
    end
  end
end
redis.call('SET', SEEN, string.format('%.0f', now))
redis.call('ZADD', NODES, till, node)
local late = redis.call('ZRANGEBYSCORE', NODES, '-inf', '(' .. string.format('%.0f', now), 'WITHSCORES')
local over = {}
for at = 1, #late, 2 do
  local other, ended = late[at], tonumber(late[at + 1])
  -- The connections of a process that has died are closed at once: whoever has one is only busy.
  local heard = redis.pcall('PUBSUB', ARGV[5], ARGV[4] .. other)
  local connected = not heard.err and heard[2] > 0
  if not connected or now - ended > tonumber(ARGV[3]) - lease then
    redis.call('ZADD', NODES, till, other)
    over[#over + 1] = other
  end
end
return over
