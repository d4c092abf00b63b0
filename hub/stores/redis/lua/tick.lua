-- most records; of each stream: channel, generation, number of its first record, n, blob
-- for each stream: ok: epoch, tail, change, cancelled · number: that of the next record · fenced
-- The keys are those of each stream, except what the partition has.
local most, results = tonumber(ARGV[4]), {}
for at = 0, (#ARGV - 4) / 5 - 1 do
  local meta, epochs, records, forks = unpack(KEYS, 4 * at + 2, 4 * at + 5)
  local channel, generation, number, n, blob = unpack(ARGV, 5 * at + 5, 5 * at + 9)
  local stream = state(meta)
  local result = refusal(stream)
  if result == nil and stream.running ~= generation then result = {'fenced'} end
  if result == nil then
    local written, cancelled = unpack(redis.call('HMGET', meta, 'number', 'cancelled'))
    if written ~= number then result = {'number', tonumber(written)} end
    if result == nil then
      local count = text(number + n)
      local first, notice, fields = stream.tail, {number = count}, {'number', count}
      -- Only the first one can fail, before anything was written.
      local failed = add(stream, records, epochs, tonumber(n), blob)
      if failed then return failed end
      trim(stream, records, forks, most, notice, fields)
      commit(meta, stream, first, notice, fields, channel, blob)
      result = {'ok', stream.epoch, stream.tail, stream.change, cancelled and 1 or 0}
    end
  end
  results[at + 1] = result
end
return results
