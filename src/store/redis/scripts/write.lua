-- One write: compare, then set. ARGV: 9 document, 10 expected (`absent`, `present`, `any` or a revision), 11 what to do
-- (`put` or `remove`), 12 the text, 13 who, 14 when as the service before wrote it.
local name, expected = ARGV[9], ARGV[10]
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
