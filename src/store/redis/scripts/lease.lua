-- Takes the lease, renews it, or gives it back, and answers who holds it then: number, holder. KEYS: 1 the lease, as
-- `number:ends_ms:holder`. ARGV: 1 who asks, 2 for how many milliseconds; 0 gives it back. The number grows with each
-- holder, and the key stays when the lease ends, so that no number is given twice. The server's clock is the only one
-- that counts.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local number, ends, holder = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+):(%d+):(.*)$')
number, ends, holder = tonumber(number or '0'), tonumber(ends or '0'), holder or ''

local asks, within = ARGV[1], tonumber(ARGV[2])
if within == 0 then
  if holder ~= asks then
    return { number, holder }
  end
  asks, ends = '', 0
elseif holder ~= asks and now < ends then
  return { number, holder }
else
  -- Also who had it until it ended begins anew: somebody may have acted on the end.
  if holder ~= asks or now >= ends then
    number = number + 1
  end
  ends = now + within
end
redis.call('SET', KEYS[1], string.format('%.0f:%.0f:%s', number, ends, asks))
return { number, asks }
