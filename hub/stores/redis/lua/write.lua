-- channel, n, blob, close, stamp ('' or 'epoch:number:producer'), sequence ('' or '=…'), born,
-- most producers, most records
-- ok | duplicate: epoch, tail, change, closed, number
-- closed: epoch, tail · busy · producer: epoch, number · too_many_producers · producer_share ·
-- stream_seq
local channel, n, blob, close, stamp, sequence = ARGV[4], tonumber(ARGV[5]), unpack(ARGV, 6, 9)
local stream = state(META)
local refused = refusal(stream, ARGV[10])
if refused then return refused end

local epoch, number, producer = string.match(stamp, '^(%d+):(%d+):(.*)$')
local last_epoch, last = -1, -1
if producer then
  local known = redis.call('HGET', PRODUCERS, producer)
  if known then
    last_epoch, last = string.match(known, '^(%d+):(%d+)$')
    last_epoch, last = tonumber(last_epoch), tonumber(last)
  end
  epoch, number = tonumber(epoch), tonumber(number)
end

local function outcome(word, last)
  return {word, stream.epoch, stream.tail, stream.change, stream.closed and 1 or 0, last}
end

if stream.closed then
  local again = n == 0 and close ~= ''
  if producer then again = stamp == stream.closed_by end
  if again then return outcome('duplicate', last) end
  return {'closed', stream.epoch, stream.tail}
end
if producer then
  if last_epoch < 0 then
    -- As hub.domain.producers.check_space.
    local count, most = redis.call('HLEN', PRODUCERS), tonumber(ARGV[11])
    if count >= most then return {'too_many_producers'} end
    local user = string.match(producer, '^([^\n]*)\n')
    if user and user ~= stream.owner and count * 2 >= most then
      local own, beginning = 0, user .. '\n'
      for _, one in ipairs(redis.call('HKEYS', PRODUCERS)) do
        if string.sub(one, 1, #beginning) == beginning then own = own + 1 end
      end
      if own >= math.floor((most - count + own + 1) / 2) then return {'producer_share'} end
    end
  end
  if epoch < last_epoch or (epoch > last_epoch and last_epoch >= 0 and number > 0) then
    return {'producer', last_epoch, last}
  end
  local before = epoch > last_epoch and -1 or last
  if number > before + 1 then return {'producer', last_epoch, last} end
  if number <= before then return outcome('duplicate', last) end
end
if sequence ~= '' and stream.sequence then
  -- Byte by byte: Lua compares as the server's locale orders.
  local new, old, at = string.sub(sequence, 2), stream.sequence, 1
  while at <= #new and string.byte(new, at) == string.byte(old, at) do at = at + 1 end
  if (string.byte(new, at) or -1) <= (string.byte(old, at) or -1) then return {'stream_seq'} end
end
if close ~= '' and (stream.running or stream.queue) then return {'busy'} end

local first, notice, fields = stream.tail, {}, {}
local failed = add(stream, RECORDS, EPOCHS, n, blob)
if failed then return failed end
trim(stream, RECORDS, FORKS, tonumber(ARGV[12]), notice, fields)
postpone(stream, notice, fields)
if sequence ~= '' then
  notice.sequence = string.sub(sequence, 2)
  table.insert(fields, 'sequence')
  table.insert(fields, notice.sequence)
end
if close ~= '' then
  stream.closed = '1'
  notice.closed, notice.closed_by = '1', producer and stamp or nil
  for _, field in ipairs({'closed', '1', 'closed_by', producer and stamp or ''}) do
    table.insert(fields, field)
  end
end
if producer then notice.stamp = stamp end
commit(META, stream, first, notice, fields, channel, blob)
if producer then redis.call('HSET', PRODUCERS, producer, text(epoch) .. ':' .. text(number)) end
expire(stream)
return outcome('ok', number or -1)
