-- channel, name, born
-- removed | hidden: the source of a fork, or '', and the token with which it is held
local stream = state(META)
local refused = refusal(stream, ARGV[6])
if refused then return refused end
if redis.call('EXISTS', FORKS) == 1 then
  local failed = add(stream, RECORDS, EPOCHS, 0, '')
  if failed then return failed end
  local notice = {hidden = '1', closed = '1', running = ''}
  local fields = {'hidden', '1', 'closed', '1'}
  enqueue(stream, '', '0', notice, fields)
  commit(META, stream, stream.tail, notice, fields, ARGV[4], '')
  redis.call('HDEL', META, 'running', 'node', 'number', 'began', 'cancelled')
  return {'hidden', '', ''}
end
remove(stream, ARGV[5], ARGV[4])
return {'removed', stream.source or '', stream.hold or ''}
