-- channel
-- ok: epoch, tail, change, closed
local stream = state(META)
local refused = refusal(stream)
if refused then return refused end
local notice, fields = {}, {}
postpone(stream, notice, fields)
if notice.expires then
  local failed = add(stream, RECORDS, EPOCHS, 0, '')
  if failed then return failed end
  commit(META, stream, stream.tail, notice, fields, ARGV[4], '')
  expire(stream)
end
return {'ok', stream.epoch, stream.tail, stream.change, stream.closed and 1 or 0}
