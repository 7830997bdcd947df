-- Enters a gateway's sign of life. KEYS: 1 the gateways. ARGV: 1 id, 2 what it says of itself as JSON, 3 after how many
-- milliseconds one is forgotten. The server's clock is the only one that counts.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local all = redis.call('HGETALL', KEYS[1])
for at = 1, #all, 2 do
  local seen = tonumber(string.match(all[at + 1], '^{"seen_ms":(%d+),') or '0')
  if now - seen > tonumber(ARGV[3]) then
    redis.call('HDEL', KEYS[1], all[at])
  end
end
redis.call('HSET', KEYS[1], ARGV[1], '{"seen_ms":' .. string.format('%.0f', now) .. ',"gateway":' .. ARGV[2] .. '}')
return 1
