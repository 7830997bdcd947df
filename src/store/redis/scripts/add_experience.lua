-- Takes in what users of a gateway met and did, unless it was taken in before. Records are as src/store/analytics/experiment.rs
-- describes them. KEYS: 1 the gateways that tell, 2 the flags of which users are kept. ARGV: 1 what all other keys begin with,
-- 2 the gateway, 3 the number of what it tells, 4 and 5 for how many seconds short and long spans are kept, 6 how many users of
-- a flag, 7 how many flags, and 8 how many kinds of actions of a user are kept, 9 all that it tells. Gives how many exposures
-- there was no room for.
local time = redis.call('TIME')
local seconds = tonumber(time[1])
local now = seconds * 1000 + math.floor(tonumber(time[2]) / 1000)
local prefix, most = ARGV[1], tonumber(ARGV[6])
local before = redis.call('HGET', KEYS[1], ARGV[2])
if not before then
  local all = redis.call('HGETALL', KEYS[1])
  for at = 1, #all, 2 do
    if now - tonumber(string.match(all[at + 1], ':(%d+)$') or '0') > 3600000 then
      redis.call('HDEL', KEYS[1], all[at])
    end
  end
end
local last = tonumber(string.match(before or '', '^(%d+):') or '0')
local number = tonumber(ARGV[3])
if number <= last then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[2], string.format('%.0f:%.0f', number, now))
redis.call('EXPIRE', KEYS[1], ARGV[5])
local told = cjson.decode(ARGV[9])

for _, visit in ipairs(told.visits) do
  for _, span in ipairs({ { 600, ARGV[4] }, { 3600, ARGV[5] } }) do
    local key = string.format('%svisitors:%d:%.0f:%s', prefix, span[1], math.floor(seconds / span[1]), visit[1])
    for from = 1, #visit[2], 1000 do
      redis.call('PFADD', key, unpack(visit[2], from, math.min(from + 999, #visit[2])))
    end
    redis.call('EXPIRE', key, span[2])
  end
end

local open, refused = {}, {}
local function participants(flag, level)
  return string.format('%sparticipants:%d:%s', prefix, level, flag)
end

local function experiment(flag, may_begin)
  if open[flag] or refused[flag] then
    return open[flag]
  end
  local key = prefix .. 'experiment:' .. flag
  local found = redis.call('HMGET', key, 'level', 'users')
  if found[1] then
    open[flag] = { key = key, level = tonumber(found[1]), users = tonumber(found[2]) }
    return open[flag]
  end
  redis.call('SREM', KEYS[2], flag)
  if not may_begin then
    return nil
  end
  if redis.call('SCARD', KEYS[2]) >= tonumber(ARGV[7]) then
    for _, other in ipairs(redis.call('SMEMBERS', KEYS[2])) do
      if not open[other] and redis.call('EXISTS', prefix .. 'experiment:' .. other) == 0 then
        redis.call('SREM', KEYS[2], other)
      end
    end
    if redis.call('SCARD', KEYS[2]) >= tonumber(ARGV[7]) then
      refused[flag] = true
      return nil
    end
  end
  redis.call('SADD', KEYS[2], flag)
  open[flag] = { key = key, level = 0, users = 0 }
  return open[flag]
end

local left_out = 0
for _, exposure in ipairs(told.exposures) do
  local flag, user, level, variation, at = exposure[1], exposure[2], exposure[3], exposure[4], now - exposure[5]
  local state = experiment(flag, true)
  if not state then
    left_out = left_out + 1
  elseif level >= state.level then
    state.changed = true
    local key = participants(flag, level)
    local text = redis.call('HGET', key, user)
    local record = text and cjson.decode(text) or { v = variation, a = at }
    local changed = not text
    if record.v ~= variation and not record.x then
      record.x, changed = true, true
    end
    if at < record.a then
      record.a, record.v, changed = at, variation, true
    end
    if changed then
      redis.call('HSET', key, user, cjson.encode(record))
    end
    if not text then
      state.users = state.users + 1
    end
    while state.users > most and state.level < 64 do
      local lowest = participants(flag, state.level)
      state.users = state.users - redis.call('HLEN', lowest)
      redis.call('UNLINK', lowest)
      state.level = state.level + 1
    end
  end
end

-- By level and user, so that those of a level are looked up together.
local by_level, names_at = {}, {}
for _, action in ipairs(told.actions) do
  local user, level = action[1], action[2]
  by_level[level], names_at[level] = by_level[level] or {}, names_at[level] or {}
  if not by_level[level][user] then
    by_level[level][user] = {}
    table.insert(names_at[level], user)
  end
  table.insert(by_level[level][user], action)
end
local function did(record, event, value, at)
  record.m = record.m or {}
  local done, kinds = record.m[event], 0
  for _ in pairs(record.m) do
    kinds = kinds + 1
  end
  if at < record.a or not (done or kinds < tonumber(ARGV[8])) then
    return false
  end
  done = done or { at, 0, 0 }
  record.m[event] = { math.min(done[1], at), done[2] + 1, done[3] + value }
  return true
end
for _, flag in ipairs(next(by_level) and redis.call('SMEMBERS', KEYS[2]) or {}) do
  local state = experiment(flag, false)
  for level, users in pairs(state and by_level or {}) do
    local key, names = participants(flag, level), names_at[level]
    local kept = level >= state.level and redis.call('HLEN', key) or 0
    if kept < #names then
      names = {}
      for _, user in ipairs(kept > 0 and redis.call('HKEYS', key) or {}) do
        if users[user] then
          table.insert(names, user)
        end
      end
    end
    for from = 1, #names, 1000 do
      local texts = redis.call('HMGET', key, unpack(names, from, math.min(from + 999, #names)))
      for place, text in ipairs(texts) do
        local record, user, changed = text and cjson.decode(text), names[from + place - 1], false
        for _, action in ipairs(record and users[user] or {}) do
          changed = did(record, action[3], action[4], now - action[5]) or changed
        end
        if changed then
          redis.call('HSET', key, user, cjson.encode(record))
        end
      end
    end
  end
end

for flag, state in pairs(open) do
  if state.changed then
    redis.call('HSET', state.key, 'level', state.level, 'users', state.users)
    redis.call('EXPIRE', state.key, ARGV[5])
    for level = state.level, 63 do
      if redis.call('EXPIRE', participants(flag, level), ARGV[5]) == 0 and level > state.level + 20 then
        break
      end
    end
  end
end
return left_out
