-- What all scripts begin with.
--
-- KEYS: 1 the world's revision, 2 the index, 3 the audit log, 4 the size of its texts, 5 the run of the server that wrote
--       last, 6 the lease; then documents.
-- ARGV: 1 the prefix of all keys, 2 the channel of hints, 3 an epoch for a store without a revision, 4 the time,
--       5 the longest document that is read, 6 the most audit entries, 7 the most bytes of their texts,
--       8 the run of this server, if it is known; then a script's own.
--
-- The index holds for each document (`kind:key`) its revision and a print of its text, as they were after the last
-- write or adoption. Where the print is another one, something else wrote the document.

local prefix, channel = ARGV[1], ARGV[2]
local longest, most_entries, most_bytes = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local EXTERNAL = 'external'
-- More than the writes that a failover can lose.
local LEAP = 1000000
local epoch, number
-- The run of the server that wrote last.
local run
-- Whether hints wait for the end of the script.
local quiet = false

local function int(value)
  return string.format('%.0f', value)
end

-- Reads the world's revision. A store without one begins a new life: what an index says of an earlier life is void, or
-- all that was lost with it would look like removals.
-- Everything whose type can be wrong is read before anything is written, as a script is not undone when it fails.
local function open()
  local text = redis.call('GET', KEYS[1])
  redis.call('HLEN', KEYS[2])
  redis.call('XLEN', KEYS[3])
  redis.call('GET', KEYS[4])
  run = redis.call('GET', KEYS[5])
  if not text then
    redis.call('DEL', KEYS[2])
    epoch, number = ARGV[3], 0
    redis.call('SET', KEYS[1], epoch .. ':0')
    return nil
  end
  local digits
  epoch, digits = string.match(text, '^([^:]+):(%d+)$')
  if not epoch then
    return redis.error_reply('DAMAGED the revision of the store is not epoch:number')
  end
  number = tonumber(digits)
  return nil
end

local function publish(name, action)
  local kind, key = string.match(name, '^([^:]*):(.*)$')
  local hint = { epoch = epoch, revision = number, kind = kind, key = key, action = action, at = ARGV[4] }
  -- A hint that is not sent is made good by the comparison; a write that is half done is not.
  redis.pcall('PUBLISH', channel, cjson.encode(hint))
end

-- The key of a document's history: where its entries are in the audit log, newest first, each with the document's
-- revision then.
local function history(name)
  return prefix .. 'flaggate:history:' .. name
end

-- The last revision of a document that its history knows; 0: none. One that comes back is numbered on from there.
local function last_revision(name)
  local newest = redis.pcall('LINDEX', history(name), 0)
  return type(newest) == 'string' and tonumber(string.match(newest, ' (%d+)$')) or 0
end

local function trim(size)
  local entries = redis.call('XLEN', KEYS[3])
  local bytes = size
  if entries > 1 then
    bytes = bytes + (tonumber(redis.call('GET', KEYS[4]) or '0') or 0)
  end
  while entries > 1 and (entries > most_entries or bytes > most_bytes) do
    local oldest = redis.call('XRANGE', KEYS[3], '-', '+', 'COUNT', 1)[1]
    local fields = {}
    for at = 1, #oldest[2], 2 do
      fields[oldest[2][at]] = oldest[2][at + 1]
    end
    bytes = bytes - (tonumber(fields.size) or 0)
    redis.call('XDEL', KEYS[3], oldest[1])
    -- The oldest entry of all is the oldest of its document as well.
    redis.pcall('RPOP', history((fields.kind or '') .. ':' .. (fields.key or '')))
    entries = entries - 1
  end
  redis.call('SET', KEYS[4], int(math.max(bytes, 0)))
end

-- The next revision of the world. Another run of the server (a replica that was promoted, a restart) may have lost the
-- last writes of the run before: if it numbered on from what it has, who saw the lost writes would take new ones for
-- those. So the first write of each run leaps over all numbers that can have been lost.
local function advance()
  if ARGV[8] ~= '' and run ~= ARGV[8] then
    if run then
      number = number + LEAP
    end
    run = ARGV[8]
    redis.call('SET', KEYS[5], run)
  end
  number = number + 1
  redis.call('SET', KEYS[1], epoch .. ':' .. int(number))
end

-- Numbers a change, enters it into the audit log and hints at it. `revision` is the document's own.
local function record(name, action, revision, actor, before, after)
  advance()
  local kind, key = string.match(name, '^([^:]*):(.*)$')
  local size = #(before or '') + #(after or '')
  local entry = {
    'epoch', epoch, 'revision', int(number), 'kind', kind, 'key', key, 'action', action, 'actor', actor,
    'at', ARGV[4], 'size', int(size), 'document_revision', int(revision),
  }
  if before then
    entry[#entry + 1] = 'before'
    entry[#entry + 1] = before
  end
  if after then
    entry[#entry + 1] = 'after'
    entry[#entry + 1] = after
  end
  local id = redis.call('XADD', KEYS[3], '*', unpack(entry))
  redis.pcall('LPUSH', history(name), id .. ' ' .. int(revision))
  trim(size)
  if not quiet then
    publish(name, action)
  end
end

-- More tags than this are left out: each is a set of its own, and everything waits while they are written.
local MOST_TAGS = 100

-- The sets that a document is a member of by its text, a flag by its tags and a segment by its type; none when it cannot
-- be read.
local function sets_of(kind, text)
  local sets = {}
  if kind ~= 'flag' and kind ~= 'segment' then
    return sets
  end
  local read, document = pcall(cjson.decode, text)
  if not read or type(document) ~= 'table' then
    return sets
  end
  if kind == 'segment' then
    if type(document.type) == 'string' then
      sets[1] = 'segments:type:' .. document.type
    end
  elseif type(document.tags) == 'table' then
    for _, tag in ipairs(document.tags) do
      if type(tag) == 'string' and #sets < MOST_TAGS then
        sets[#sets + 1] = 'tag:' .. tag
      end
    end
  end
  return sets
end

-- Sets serve the service that was there before: one that is broken must not hinder a write. That service names the sets
-- of segments in its own way; a segment that changes or goes leaves those too.
local function change_sets(command, name, text)
  local kind, key = string.match(name, '^([^:]*):(.*)$')
  for _, set in ipairs(sets_of(kind, text)) do
    redis.pcall(command, prefix .. set, key)
    local type = kind == 'segment' and command == 'SREM' and string.match(set, '^segments:type:(.*)$')
    if type then
      redis.pcall(command, prefix .. 'segments:type:SegmentType.' .. string.upper(type), key)
    end
  end
end

-- The field of a document's hash that holds its text.
local function field(name)
  if string.match(name, '^segment:') then return 'definition' end
  if string.match(name, '^kill_switch:') or string.match(name, '^deployment:') then return 'document' end
  return 'config'
end

-- The revision and the print that the index has of a document.
local function indexed(name)
  local entry = redis.call('HGET', KEYS[2], name)
  if not entry then
    return nil, nil
  end
  local revision, print = string.match(entry, '^(%d+):(.*)$')
  return tonumber(revision), print
end

local function index(name, found)
  redis.call('HSET', KEYS[2], name, int(found.revision) .. ':' .. found.print)
end

-- A document as it is stored: its state (`text`; or `long`, `type`, `bare`, of which only a detail is read), its
-- revision and the print of its text. Nil: there is none. Then what the index has of it: revision and print.
local function look(name)
  local key = prefix .. name
  local kind = redis.call('TYPE', key)['ok']
  local known, print = indexed(name)
  if kind == 'none' then
    return nil, known, print
  end
  if kind ~= 'hash' then
    return { state = 'type', detail = kind, print = 'type:' .. kind, revision = known or 0 }, known, print
  end
  local stored = redis.call('HGET', key, 'revision')
  -- Beyond 2^53 numbers are not whole any more.
  stored = stored and #stored <= 15 and string.match(stored, '^%d+$') and tonumber(stored) or 0
  local found = { revision = math.max(stored, known or 0) }
  local length = redis.call('HSTRLEN', key, field(name))
  if length > longest then
    found.state, found.detail, found.print = 'long', int(length), 'long:' .. int(length)
    return found, known, print
  end
  local text = redis.call('HGET', key, field(name))
  if text then
    found.state, found.text, found.print = 'text', text, redis.sha1hex(text)
  else
    found.state, found.detail, found.print = 'bare', '', 'bare'
  end
  return found, known, print
end

-- Looks at a document, and adopts what something else did to it: numbered, audited and hinted at like a write.
local function settle(name)
  local found, revision, print = look(name)
  if not found then
    if revision then
      redis.call('HDEL', KEYS[2], name)
      record(name, 'deleted', revision, EXTERNAL, nil, nil)
    end
    return nil
  end
  if found.print == print then
    return found
  end
  found.revision = (revision and found.revision or math.max(found.revision, last_revision(name))) + 1
  if found.state ~= 'type' then
    redis.call('HSET', prefix .. name, 'revision', int(found.revision), 'updated_by', EXTERNAL)
  end
  if found.text then
    change_sets('SADD', name, found.text)
  end
  index(name, found)
  record(name, revision and 'updated' or 'created', found.revision, EXTERNAL, nil, found.text)
  return found
end

-- The text before a write, for the audit log; one that nobody could have written through the gateway is left out.
local function before_of(name, found)
  if not found then
    return nil
  end
  if found.state == 'long' and tonumber(found.detail) <= 16 * longest then
    return redis.call('HGET', prefix .. name, field(name))
  end
  return found.text
end

local function put(name, found, text, actor, created_at)
  local key = prefix .. name
  local before = before_of(name, found)
  local action = found and 'updated' or 'created'
  if found and found.state == 'type' then
    redis.call('DEL', key)
  end
  if found and found.text then
    change_sets('SREM', name, found.text)
  end
  local revision = (found and found.revision or last_revision(name)) + 1
  redis.call('HSET', key, field(name), text, 'revision', int(revision), 'updated_by', actor)
  redis.call('HSETNX', key, 'created_at', created_at)
  if string.match(name, '^flag:') then
    redis.call('HSETNX', key, 'evaluation_count', '0')
  end
  change_sets('SADD', name, text)
  index(name, (look(name)))
  record(name, action, revision, actor, before, text)
  return revision
end

local function remove(name, found, actor)
  local before = before_of(name, found)
  redis.call('DEL', prefix .. name)
  if found.text then
    change_sets('SREM', name, found.text)
  end
  redis.call('HDEL', KEYS[2], name)
  record(name, 'deleted', found.revision, actor, before, nil)
  return found.revision
end

local failed = open()
if failed then
  return failed
end
