-- Writes profiles, and tells who changed. KEYS: the profiles. ARGV: 1 the channel, 2 the time, 3 the users as one message,
-- then attributes and behavioral data of each. Answers for each profile: 1 it is new, 0 it was there, or why it is not
-- written. What else is in a profile stays.
local done = {}
for at, key in ipairs(KEYS) do
  local was_there = redis.call('EXISTS', key)
  local written = redis.pcall(
    'HSET', key, 'attributes', ARGV[2 * at + 2], 'behavioral_data', ARGV[2 * at + 3], 'last_updated', ARGV[2])
  if type(written) == 'table' and written.err then
    done[at] = written.err
  else
    redis.call('HSETNX', key, 'segment_memberships', '[]')
    done[at] = 1 - was_there
  end
end
-- Who is not told forgets in time; a write that is half done is not made good.
redis.pcall('PUBLISH', ARGV[1], ARGV[3])
return done
