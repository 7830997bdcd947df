-- Appends events to a stream, unless the same part of the same writer came before.
-- KEYS: the stream, the number of the last part of this writer
-- ARGV: the part's number, about how many events are kept, for how many seconds the number is, then type and event each
local last = tonumber(redis.call('GET', KEYS[2]) or '0')
local number = tonumber(ARGV[1])
if number <= last then
  return 0
end
for at = 4, #ARGV, 2 do
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'type', ARGV[at], 'event', ARGV[at + 1])
end
redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[3])
return 1
