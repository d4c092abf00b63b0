-- from, to (ends of a lexical range), most, what the key of a hash begins with, owner ('': any)
-- ok: how many names there were, the last of them; of each stream: name, type, epoch, tail,
-- closed, owner, the generation that runs
-- Of one partition. Names whose stream has expired are dropped on the way.
local from, to, most, meta, owner = unpack(ARGV, 4, 8)
local left = settling()
if left > 0 then return {'settling', left} end
local set, lead = NAMES, ''
if owner ~= '' then set, lead = OWNERS, owner .. '\0' end
local names = redis.call('ZRANGEBYLEX', set, from, to, 'LIMIT', 0, most)
local found, last = {}, ''
for _, member in ipairs(names) do
  local name = string.sub(member, #lead + 1)
  local type, epoch, tail, closed, hidden, its, running, expires = unpack(
    redis.call('HMGET', meta .. name, 'type', 'epoch', 'tail', 'closed', 'hidden', 'owner',
      'running', 'expires'))
  if not epoch then
    redis.call('ZREM', set, member)
  elseif not hidden and not (expires and tonumber(expires) <= now()) then
    table.insert(found, {name, type, tonumber(epoch), tonumber(tail), closed and 1 or 0, its or '',
      running or ''})
  end
  last = name
end
return {'ok', #names, last, found}
