-- Not with the prelude: it is on nothing.
-- commands with their arguments, as JSON
-- 1 for each that the user may run, else 0
local found = {}
for at, words in ipairs(cjson.decode(ARGV[1])) do
  found[at] = redis.acl_check_cmd(unpack(words)) and 1 or 0
end
return found
