-- What the scripts share; they are described in scripts.py.

local INCARNATION, META, EPOCHS, RECORDS, PRODUCERS, FORKS, GENERATIONS = unpack(KEYS, 1, 7)
local NAMES, REMOVED, EPOCH, OWNERS, USED, FORGOTTEN, HOLDS = unpack(KEYS, 8, 14)
local replid, incarnation, settle = ARGV[1], ARGV[2], tonumber(ARGV[3])
local life, since = string.match(incarnation, '^(%d+):(%d+):')

local function text(number)
  return string.format('%.0f', number)
end

local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Whether the server is in another incarnation than the hub knows.
local function other_incarnation()
  local found = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
  return found ~= replid or redis.call('GET', INCARNATION) ~= incarnation
end

-- For how many more milliseconds the incarnation settles.
local function settling()
  return math.min(settle, math.max(0, since + settle - now()))
end

local FIELDS = {'epoch', 'tail', 'head', 'change', 'life', 'born', 'closed', 'closed_by',
  'sequence', 'hidden', 'running', 'ttl', 'expires', 'source', 'forked', 'hold', 'owner',
  'queue', 'largest', 'covered'}

-- The state of a stream, its numbers as numbers and what it lacks as false; nil if there is none.
-- One that has expired is still there if it has forks: hidden, as if it had been deleted.
local function state(key)
  local found = redis.call('HMGET', key, unpack(FIELDS))
  if not found[1] then return nil end
  local stream = {}
  for at, name in ipairs(FIELDS) do stream[name] = found[at] end
  for at = 1, 4 do stream[FIELDS[at]] = tonumber(found[at]) end
  if stream.expires and tonumber(stream.expires) <= now() then stream.hidden = '1' end
  if stream.queue == '' then stream.queue = false end
  stream.largest = tonumber(stream.largest or math.huge)
  stream.covered = tonumber(stream.covered or 0)
  return stream
end

local function absent()
  local left = settling()
  if left > 0 then return {'settling', left} end
  return {'none'}
end

-- Why nothing may be written to a stream; nil if it may. With `born` only that stream is meant.
local function refusal(stream, born)
  if not stream then return absent() end
  local left = stream.life ~= life and settling() or 0
  if left > 0 then return {'settling', left} end
  if stream.hidden then return {'gone'} end
  if born and born ~= '' and born ~= stream.born then return {'none'} end
  return nil
end

-- How many entries may be looked at for so many bytes. A command gives a script all that it finds
-- with its contents, and for as long as that takes the server does nothing else.
local function entries_of(stream, bytes)
  return math.max(1, math.min(64, math.floor(bytes / math.max(1, stream.largest))))
end

-- Add n records, which may be none, in a new epoch if these are the stream's first in this
-- incarnation. Before each commit: no two timelines may have one epoch. An error of Redis if there is
-- no memory for them; then nothing has changed.
local function add(stream, records, epochs, n, blob)
  if n > 0 then
    local added = redis.pcall('XADD', records, text(stream.tail) .. '-' .. n, 'b', blob)
    if type(added) == 'table' and added.err then return added end
    if #blob > stream.largest then stream.largest, stream.grown = #blob, true end
  end
  if stream.life ~= life then
    stream.epoch = math.max(tonumber(life), stream.epoch + 1)
    redis.call('RPUSH', epochs, text(stream.epoch) .. ':' .. text(stream.tail))
    redis.call('LTRIM', epochs, -MOST_EPOCHS, -1)
  end
  stream.tail = stream.tail + n
  return nil
end

-- Drop the oldest records of more than `most`. Those of a source stay for its forks.
local function trim(stream, records, forks, most, notice, fields)
  if stream.tail - stream.head <= most then return end
  stream.head = stream.tail - most
  notice.head = text(stream.head)
  table.insert(fields, 'head')
  table.insert(fields, notice.head)
  -- An entry is looked at once, when it becomes the oldest: it may be large.
  if stream.head >= stream.covered and redis.call('EXISTS', forks) == 0 then
    local covering = redis.call('XREVRANGE', records, text(stream.head), '-', 'COUNT', 1)[1]
    if covering then
      redis.call('XTRIM', records, 'MINID', covering[1])
      local first, n = string.match(covering[1], '^(%d+)-(%d+)$')
      table.insert(fields, 'covered')
      table.insert(fields, text(first + n))
    end
  end
end

-- The highest epoch of the names that are not remembered any more; where nobody has kept it, no name
-- is remembered.
local function forgotten()
  return tonumber(redis.call('GET', FORGOTTEN) or redis.call('GET', EPOCH) or -1)
end

-- A stream is gone, or will be some day without a script. The next one of its name has a higher epoch,
-- and shares none with it, also as a fork.
local function pass(epoch)
  local name = string.sub(META, #NAMES - 2)  -- after "m:", where the other key ends with "names"
  redis.call('SET', FORGOTTEN, text(forgotten()), 'NX')
  if epoch > tonumber(redis.call('GET', EPOCH) or 0) then redis.call('SET', EPOCH, text(epoch)) end
  redis.call('ZADD', USED, text(epoch), name)
  if redis.call('ZCARD', USED) > MOST_REMOVED then
    local oldest = tonumber(redis.call('ZPOPMIN', USED)[2])
    redis.call('SET', FORGOTTEN, text(math.max(oldest, forgotten())))
  end
end

-- All keys of a stream expire at one time, or never while it has forks.
local function expire(stream)
  if stream.expires and redis.call('EXISTS', FORKS) == 0 then
    pass(stream.epoch)
    for number = 2, 7 do redis.call('PEXPIREAT', KEYS[number], stream.expires) end
  end
end

-- The time at which a stream with a ttl expires if it is used now, noted in the fields.
local function postpone(stream, notice, fields)
  if not stream.ttl then return end
  stream.expires = text(now() + stream.ttl * 1000)
  notice.expires = stream.expires
  table.insert(fields, 'expires')
  table.insert(fields, stream.expires)
end

-- Let prompts wait in a stream ('': none do; nil: the same), held ('1') or not ('0').
local function enqueue(stream, prompts, held, notice, fields)
  local hash = prompts and redis.sha1hex(prompts) or string.match(stream.queue, '^%x+')
  notice.queue = prompts == '' and '' or hash .. ':' .. held
  table.insert(fields, 'queue')
  table.insert(fields, notice.queue)
  if prompts then
    notice.prompts = prompts
    table.insert(fields, 'prompts')
    table.insert(fields, prompts)
  end
end

-- Keep the state of a stream and what else changed (`fields`: names and values in turn), and tell
-- all hubs. `first` is the tail before it.
local function commit(key, stream, first, notice, fields, channel, blob)
  stream.life = life
  stream.change = stream.change + 1
  if stream.grown then
    table.insert(fields, 'largest')
    table.insert(fields, text(stream.largest))
  end
  redis.call('HSET', key, 'epoch', text(stream.epoch), 'tail', text(stream.tail),
    'change', text(stream.change), 'life', life, unpack(fields))
  notice.change, notice.epoch = text(stream.change), text(stream.epoch)
  notice.first = text(first)
  local header = cjson.encode(notice)
  redis.call(PUBLISH, channel, struct.pack('>BI4', VERSION, #header) .. header .. blob)
end

-- Note where a generation has begun, or was dropped. Once there are many, those are forgotten whose
-- records are trimmed.
local function note_generation(stream, generation, place)
  if redis.call('HLEN', GENERATIONS) % MOST_GENERATIONS == MOST_GENERATIONS - 1 then
    local all = redis.call('HGETALL', GENERATIONS)
    for at = 2, #all, 2 do
      local last = tonumber(string.match(all[at], ':(%d+)$'))
      if last < stream.head then redis.call('HDEL', GENERATIONS, all[at - 1]) end
    end
  end
  redis.call('HSET', GENERATIONS, generation, place)
end

-- Let a stream be listed.
local function list(name, owner)
  redis.call('ZADD', NAMES, 0, name)
  if owner then redis.call('ZADD', OWNERS, 0, owner .. '\0' .. name) end
end

-- Remove a stream and everything of it.
local function remove(stream, name, channel)
  local epoch = text(stream.epoch)
  redis.call('DEL', unpack(KEYS, 2, 7))
  redis.call('ZADD', REMOVED, epoch, name)
  redis.call('ZREMRANGEBYRANK', REMOVED, 0, -MOST_REMOVED - 1)
  pass(stream.epoch)
  redis.call('ZREM', NAMES, name)
  if stream.owner then redis.call('ZREM', OWNERS, stream.owner .. '\0' .. name) end
  local header = cjson.encode({removed = '1', change = text(stream.change + 1), epoch = epoch,
    first = text(stream.tail)})
  redis.call(PUBLISH, channel, struct.pack('>BI4', VERSION, #header) .. header)
end

if other_incarnation() then return {'incarnation'} end
