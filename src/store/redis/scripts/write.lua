-- One write: compare, then set. ARGV: 8 document, 9 expected (`absent`, `present`, `any` or a revision), 10 what to do
-- (`put` or `remove`), 11 the text, 12 who, 13 when as the service before wrote it.
local name, expected = ARGV[8], ARGV[9]
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
if holds and ARGV[10] == 'put' then
  revision = put(name, found, ARGV[11], ARGV[12], ARGV[13])
elseif holds and found then
  revision = remove(name, found, ARGV[12])
else
  return { 'conflict', found and found.revision or -1, epoch, number }
end
return { 'written', revision, epoch, number }
