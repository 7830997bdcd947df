-- Keeps the segments that users are in, unless they are gone, and tells who listens. KEYS: the profiles. ARGV: 1 the
-- channel, 2 what is told there, then the segments of each profile as JSON. Answers how many there are.
local kept = 0
for at, key in ipairs(KEYS) do
  if redis.call('EXISTS', key) == 1 then
    redis.call('HSET', key, 'segment_memberships', ARGV[at + 2])
    kept = kept + 1
  end
end
redis.call('PUBLISH', ARGV[1], ARGV[2])
return kept
