-- Replaces texts of a profile if they still are as expected, and tells that the user changed. KEYS: 1 the profile.
-- ARGV: 1 the channel, 2 the time, 3 the user, then for each text its field, what is expected (`n`: nothing, or `t` and
-- the text) and what shall be. Answers what became of it (`created`, `updated` or `changed`), and the texts as they were.
local was_there = redis.call('EXISTS', KEYS[1])
local found, is_expected = {}, true
for at = 4, #ARGV, 3 do
  local text = redis.call('HGET', KEYS[1], ARGV[at])
  local state = text and 't' .. text or 'n'
  found[#found + 1] = state
  is_expected = is_expected and state == ARGV[at + 1]
end
if not is_expected then
  return { 'changed', found }
end
for at = 4, #ARGV, 3 do
  redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 2])
end
redis.call('HSET', KEYS[1], 'last_updated', ARGV[2])
for _, field in ipairs({ 'attributes', 'behavioral_data' }) do
  redis.call('HSETNX', KEYS[1], field, '{}')
end
redis.call('HSETNX', KEYS[1], 'segment_memberships', '[]')
redis.pcall('PUBLISH', ARGV[1], ARGV[3])
return { was_there == 1 and 'updated' or 'created', found }
