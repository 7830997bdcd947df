-- One write: compare, then set. ARGV: 9 document, 10 expected (`absent`, `present`, `any` or a revision), 11 what to do
-- (`put` or `remove`), 12 the text, 13 who, 14 when as the service before wrote it, 15 the lease that the writer holds as
-- `number:holder`, or nothing.
local name, expected = ARGV[9], ARGV[10]

if ARGV[15] ~= '' then
  local held = redis.call('GET', KEYS[6])
  local lease, holder = string.match(held or '', '^(%d+):%d+:(.*)$')
  if not lease or lease .. ':' .. holder ~= ARGV[15] then
    return { 'fenced', -1, holder or '', tonumber(lease or '0') }
  end
end

local found = settle(name)

local holds
if expected == 'absent' then
  holds = not found
elseif expected == 'present' then
  holds = found
elseif expected == 'any' then
  holds = true
else
  holds = found and int(found.revision) == expected
end

local revision
if holds and ARGV[11] == 'put' then
  revision = put(name, found, ARGV[12], ARGV[13], ARGV[14])
elseif holds and found then
  revision = remove(name, found, ARGV[13])
else
  return { 'conflict', found and found.revision or -1, epoch, number }
end
return { 'written', revision, epoch, number }
