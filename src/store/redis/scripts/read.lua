-- Settles documents and reads them. ARGV: 9 what is wanted: `texts`, `check` (nothing but the settling) or `gone` (only
-- what is not there is settled). Ends early rather than answer with more than a few MiB: the third number says how many
-- documents were done.
local wanted = ARGV[9]
local documents, bytes, done = {}, 0, 0
for at = 7, #KEYS do
  local name = string.sub(KEYS[at], #prefix + 1)
  if wanted == 'texts' then
    local found = settle(name)
    local text = found and (found.text or found.detail) or ''
    documents[#documents + 1] = found and { found.state, found.revision, text } or false
    bytes = bytes + #text
  elseif wanted == 'check' or redis.call('EXISTS', KEYS[at]) == 0 then
    settle(name)
  end
  done = done + 1
  if bytes > 4194304 then
    break
  end
end
return { epoch, number, done, documents }
