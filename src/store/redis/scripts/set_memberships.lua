-- Keeps the segments that a user is in, unless the user is gone. KEYS: 1 the profile. ARGV: 1 the segments as JSON.
-- Answers whether there is a profile.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
redis.call('HSET', KEYS[1], 'segment_memberships', ARGV[1])
return 1
