-- Adds what a gateway counted to the second that it is now by the server's clock, unless it was added before.
-- KEYS: 1 the gateways that count. ARGV: 1 what the keys of minutes begin with, 2 the gateway, 3 the number of its batch or
-- nothing, 4 for how many seconds counts are kept, then each arm with its record.
local time = redis.call('TIME')
local seconds = tonumber(time[1])
local now = seconds * 1000 + math.floor(tonumber(time[2]) / 1000)
local before = redis.call('HGET', KEYS[1], ARGV[2])
if not before then
  local all = redis.call('HGETALL', KEYS[1])
  for at = 1, #all, 2 do
    if now - tonumber(string.match(all[at + 1], ':(%d+)$') or '0') > tonumber(ARGV[4]) * 1000 then
      redis.call('HDEL', KEYS[1], all[at])
    end
  end
end
local last = tonumber(string.match(before or '', '^(%d+):') or '0')
local number = tonumber(ARGV[3])
redis.call('HSET', KEYS[1], ARGV[2], string.format('%.0f:%.0f', math.max(number or 0, last), now))
redis.call('EXPIRE', KEYS[1], ARGV[4])
if number and number <= last then
  return 0
end
if #ARGV > 4 then
  local minute = ARGV[1] .. string.format('%.0f', math.floor(seconds / 60))
  local second = string.format('%.0f:', seconds % 60)
  for at = 5, #ARGV, 2 do
    local kept = redis.call('HGET', minute, second .. ARGV[at])
    redis.call('HSET', minute, second .. ARGV[at], (kept or '') .. ARGV[at + 1])
  end
  redis.call('EXPIRE', minute, ARGV[4])
end
return 1
