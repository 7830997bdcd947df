-- Ten thousand users of four countries in turn.
local requests, next_one = {}, 0
local countries = { "DE", "US", "FR", "GB" }

function init()
  for user = 1, 10000 do
    local headers = { ["Host"] = "bench.local", ["X-User-Id"] = "user-" .. user, ["X-User-Country"] = countries[user % 4 + 1] }
    requests[user] = wrk.format("GET", "/", headers)
  end
end

function request()
  next_one = next_one % #requests + 1
  return requests[next_one]
end
