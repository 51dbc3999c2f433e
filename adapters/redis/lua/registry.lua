-- The registry of destinations, in a slot of its own.
--
--   {laneway:registry}:head     hash: last <revision>, write <fingerprint of the last write>, forgotten
--                               <revision up to which records of deleted ones may be gone>
--   {laneway:registry}:records  hash: name, its record (JSON)
--   {laneway:registry}:changed  sorted set: all names, by the revision that changed them last
--   {laneway:registry}:names    sorted set: those that are not deleted (all with score 0, so that they are
--                               in their own order)
--   {laneway:registry}:deleted  sorted set: those that are, by the revision that deleted them
--   {laneway:registry}:journal:<name> sorted set: what was said of its changes (JSON), by revision
--
-- Revisions are whole numbers below 2^53, as offsets are.

-- KEYS head. Answers the last revision, and the server's clock (µs).
local function registry_head(keys)
  local time = redis.call('TIME')
  return {
    redis.call('HGET', keys[1], 'last') or '0',
    text(tonumber(time[1]) * 1000000 + tonumber(time[2])),
  }
end

-- One change. KEYS head, records, changed, names, deleted, and :journal:<name> of each entry; ARGV the last revision that
-- was seen, the change's own, its fingerprint, how many entries of a journal are kept, how many records,
-- n * (name, '1' if it is deleted, record), and the entries. Answers 1, or 0 if the last revision is another.
local function registry_write(keys, args)
  local revision, fingerprint = args[2], args[3]
  local head = redis.call('HMGET', keys[1], 'last', 'write')
  local last = head[1] or '0'
  if last == revision and head[2] == fingerprint then
    -- That it is here is no evidence that replicas have it: WAIT waits only for what was written on its
    -- connection, so this must be a write.
    redis.call('HSET', keys[1], 'last', last)
    return 1
  end
  if last ~= args[1] then
    return 0
  end
  redis.call('HSET', keys[1], 'last', revision, 'write', fingerprint)
  local records, changed, there, gone = {}, {}, {}, {}
  local at = 6
  for _ = 1, tonumber(args[5]) do
    local name = args[at]
    records[#records + 1], records[#records + 2] = name, args[at + 2]
    changed[#changed + 1], changed[#changed + 2] = revision, name
    if args[at + 1] == '1' then
      gone[#gone + 1] = name
    else
      there[#there + 1] = name
    end
    at = at + 3
  end
  call_with('HSET', keys[2], records, 1, #records)
  call_with('ZADD', keys[3], changed, 1, #changed)
  for _, name in ipairs(there) do
    redis.call('ZADD', keys[4], 0, name)
  end
  call_with('ZREM', keys[5], there, 1, #there)
  call_with('ZREM', keys[4], gone, 1, #gone)
  for _, name in ipairs(gone) do
    redis.call('ZADD', keys[5], revision, name)
  end
  for key = 6, #keys do
    redis.call('ZADD', keys[key], revision, args[at])
    redis.call('ZREMRANGEBYRANK', keys[key], 0, -tonumber(args[4]) - 1)
    at = at + 1
  end
  return 1
end

-- Adds names and their records to an answer.
local function add_records(answer, records, names)
  if #names == 0 then
    return answer
  end
  for i, record in ipairs(redis.call('HMGET', records, unpack(names))) do
    answer[#answer + 1] = names[i]
    answer[#answer + 1] = record or ''
  end
  return answer
end

-- KEYS head, records, changed; ARGV after which revision, the most records, the most bytes of them. Answers up to which
-- revision that is all, whether there is more, up to which revision deleted ones may be forgotten, and
-- names and records. The records of one revision come together: they were one write, which is no larger than this.
local function registry_changes(keys, args)
  local most, room = tonumber(args[2]), tonumber(args[3])
  local head = redis.call('HMGET', keys[1], 'last', 'forgotten')
  local found = redis.call('ZRANGE', keys[3], '(' .. args[1], '+inf', 'BYSCORE', 'LIMIT', 0, most + 1, 'WITHSCORES')
  local names, upto, more = {}, head[1] or '0', 0
  for i = 1, #found, 2 do
    room = room - redis.call('HSTRLEN', keys[2], found[i])
    if #names == most or room < 0 then
      while #names > 0 and found[2 * #names] == found[i + 1] do
        names[#names] = nil
      end
      if #names == 0 then
        return redis.error_reply('LANEWAY_REFUSED the records of one change are more than one answer holds')
      end
      upto, more = text(tonumber(found[2 * #names])), 1
      break
    end
    names[#names + 1] = found[i]
  end
  return add_records({upto, more, head[2] or '0'}, keys[2], names)
end

-- KEYS records, names; ARGV after which name ('' for the first), the most records, the most bytes of them. Answers
-- whether there is more, and names and records.
local function registry_page(keys, args)
  local most, room = tonumber(args[2]), tonumber(args[3])
  local names, more = {}, 0
  for _, name in ipairs(names_after(keys[2], args[1], most + 1)) do
    room = room - redis.call('HSTRLEN', keys[1], name)
    if #names == most or room < 0 then
      more = 1
      break
    end
    names[#names + 1] = name
  end
  return add_records({more}, keys[1], names)
end

-- KEYS :journal:<name>; ARGV before which revision ('' for all), how many at most. Answers the entries, the latest first.
local function registry_journal(keys, args)
  local before = args[1] == '' and '+inf' or '(' .. args[1]
  return redis.call('ZRANGE', keys[1], before, '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, args[2])
end

-- KEYS deleted; ARGV up to which revision, how many at most. Answers names and the revisions that deleted them.
local function registry_deleted(keys, args)
  local answer = redis.call('ZRANGE', keys[1], '-inf', args[1], 'BYSCORE', 'LIMIT', 0, args[2], 'WITHSCORES')
  for i = 2, #answer, 2 do
    answer[i] = text(tonumber(answer[i]))
  end
  return answer
end

-- KEYS head, records, changed, deleted, and :journal:<name> of each; ARGV name and the revision that deleted it, of each.
-- Those that came back meanwhile stay. Answers how many went.
local function registry_forget(keys, args)
  local forgotten, gone = tonumber(redis.call('HGET', keys[1], 'forgotten') or '0'), 0
  for n = 1, #args / 2 do
    local name, revision = args[2 * n - 1], tonumber(args[2 * n])
    local deleted = redis.call('ZSCORE', keys[4], name)
    if deleted and tonumber(deleted) == revision then
      redis.call('HDEL', keys[2], name)
      redis.call('ZREM', keys[3], name)
      redis.call('ZREM', keys[4], name)
      redis.call('UNLINK', keys[4 + n])
      forgotten, gone = math.max(forgotten, revision), gone + 1
    end
  end
  redis.call('HSET', keys[1], 'forgotten', text(forgotten))
  return gone
end

redis.register_function{function_name = 'laneway_registry_head', callback = registry_head, flags = {'no-writes'}}
-- A full Redis has to take it: a destination that is deleted or mended is what makes room.
redis.register_function{function_name = 'laneway_registry_write', callback = registry_write, flags = {'allow-oom'}}
redis.register_function{function_name = 'laneway_registry_changes', callback = registry_changes, flags = {'no-writes'}}
redis.register_function{function_name = 'laneway_registry_page', callback = registry_page, flags = {'no-writes'}}
redis.register_function{function_name = 'laneway_registry_journal', callback = registry_journal, flags = {'no-writes'}}
redis.register_function{function_name = 'laneway_registry_deleted', callback = registry_deleted, flags = {'no-writes'}}
redis.register_function{function_name = 'laneway_registry_forget', callback = registry_forget, flags = {'allow-oom'}}
