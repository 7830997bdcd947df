-- All gateways as they were entered, and the server's time in milliseconds. KEYS: 1 the gateways.
local time = redis.call('TIME')
return { tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000), redis.call('HVALS', KEYS[1]) }
