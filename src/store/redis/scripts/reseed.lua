-- Replaces everything, under a new epoch, if the store is still at the expected revision. ARGV: 9 expected as
-- `epoch:number`, 10 the new epoch, 11 who, 12 when as the service before wrote it; then documents and texts by turns.
if epoch .. ':' .. int(number) ~= ARGV[9] then
  return { 'moved', epoch, number }
end
-- One hint is enough: at another epoch everybody loads in full.
quiet = true
epoch = ARGV[10]
local actor, stays = ARGV[11], {}
for at = 13, #ARGV, 2 do
  stays[ARGV[at]] = true
end
for _, name in ipairs(redis.call('HKEYS', KEYS[2])) do
  local found = not stays[name] and (look(name))
  if found then
    remove(name, found, actor)
  elseif not stays[name] then
    redis.call('HDEL', KEYS[2], name)
  end
end
for at = 13, #ARGV, 2 do
  put(ARGV[at], (look(ARGV[at])), ARGV[at + 1], actor, ARGV[12])
end
-- Also when there was nothing to do the number grows, so that everybody sees a change.
advance()
publish('flag:', 'updated')
return { 'reseeded', epoch, number }
