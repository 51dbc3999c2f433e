-- The processes that have the store open, and what each can read: so that nothing is written that a live one cannot
-- read, and none works on what it does not understand.
--
--   {laneway}:processes          sorted set: who is there, by until when (ms, server's time)
--   {laneway}:processes:formats  hash: what each says of itself, as JSON (see `statement` in src/processes.rs)
--   {laneway}:store              hash: besides what the store was made with, `format:<thing>`, the newest version in which
--                                a thing may have been written, and `since:<thing>`, the first release that reads it;
--                                `numbers` and `restored_by` of a store that was restored; `restoring` and others while
--                                one is (restore.lua)
--
-- A version never goes back: what was written stays in the store.

-- What a worker of a release can read from before there was this register. It stands among the workers alone.
local BEFORE_THE_REGISTER = {
  release = 'from before there was a register of processes',
  functions = {6, 8},
  formats = {entry = {reads = {1, 2}, writes = 1, since = '0.1.0'}},
}

-- What every other live process says of itself, by its name.
local function others_of(keys, process, now)
  local others, since = {}, '(' .. text(now)
  for _, other in ipairs(redis.call('ZRANGE', keys[2], since, '+inf', 'BYSCORE')) do
    local said = redis.call('HGET', keys[3], other)
    if other ~= process and said then
      others[other] = cjson.decode(said)
    end
  end
  for _, worker in ipairs(redis.call('ZRANGE', keys[4], since, '+inf', 'BYSCORE')) do
    if worker ~= process and not redis.call('ZSCORE', keys[2], worker) then
      others[worker] = BEFORE_THE_REGISTER
    end
  end
  return others
end

local UNKNOWN = {reads = {0, 0}, writes = 0, since = '?'}

-- Why the process cannot work on what is stored; nil if it can.
local function unfit_for_store(mine, stored)
  if mine.functions[2] < OLDEST_CALLS then
    return 'the functions in Redis (version ' .. VERSION .. ') answer calls of version ' .. OLDEST_CALLS ..
      ' and later, and those of this release are of version ' .. mine.functions[2] .. ': it needs a newer Laneway'
  end
  for field, version in pairs(stored) do
    local thing = string.match(field, '^format:(.*)$')
    version = tonumber(version)
    if thing and version > 0 then
      local own = mine.formats[thing] or UNKNOWN
      if version > own.reads[2] then
        return 'the store has the thing "' .. thing .. '" in version ' .. version .. ', and this release reads up to ' ..
          own.reads[2] .. ': it needs Laneway ' .. (stored['since:' .. thing] or '?') .. ' or later'
      elseif version < own.reads[1] then
        return 'the store has the thing "' .. thing .. '" in version ' .. version .. ', and this release reads from ' ..
          own.reads[1] .. ' on: start a release first that reads both'
      end
    end
  end
end

-- Why the process cannot work beside another one; nil if it can.
local function unfit_beside(mine, name, other)
  local who = 'the process ' .. name .. ' (Laneway ' .. other.release .. ')'
  if other.functions[2] < mine.functions[1] then
    return who .. ' calls functions of version ' .. other.functions[2] .. ', and those of this release answer calls of '
      .. mine.functions[1] .. ' and later: upgrade that process first, to a release between the two'
  elseif mine.functions[2] < other.functions[1] then
    return who .. ' has functions that answer calls of version ' .. other.functions[1] .. ' and later, and this release calls '
      .. mine.functions[2] .. ': it needs Laneway ' .. other.release
  end
  for thing, own in pairs(mine.formats) do
    local reads = (other.formats[thing] or UNKNOWN).reads[2]
    if reads < own.writes then
      return who .. ' reads the thing "' .. thing .. '" up to version ' .. reads .. ', and this release writes it from ' ..
        own.writes .. ' on: upgrade that process first, to a release between the two'
    end
  end
  for thing, theirs in pairs(other.formats) do
    local reads = (mine.formats[thing] or UNKNOWN).reads[2]
    if reads < theirs.writes then
      return who .. ' writes the thing "' .. thing .. '" from version ' .. theirs.writes .. ' on, and this release reads up to '
        .. reads .. ': it needs Laneway ' .. theirs.since .. ' or later'
    end
  end
end

-- The version up to which all that are there read a thing, and the first release that does.
local function read_by_all(thing, own, others)
  local version, since = own.reads[2], own.since
  for _, other in pairs(others) do
    local theirs = other.formats[thing] or UNKNOWN
    if theirs.reads[2] < version then
      version, since = theirs.reads[2], theirs.since
    end
  end
  return version, since
end

-- What the store was made with, in the order of the arguments of `attend`.
local MADE_WITH = {'partitions', 'schema', 'needs', 'numbers'}

-- Why the store is not the one that a process opened; nil if it is, or if what it was made with got lost. `made`: what
-- the process knows of it, each '' if there was no such field.
local function made_otherwise(made, stored)
  for at, field in ipairs(MADE_WITH) do
    local there = stored[field]
    if there and there ~= made[at] then
      return 'it opened a store that was made with ' .. field .. ' "' .. made[at] .. '", and what is there now was made '
        .. 'with "' .. there .. '": another store was made here, or put back, since. Start it again'
    end
  end
end

-- KEYS {laneway}:store, processes, processes:formats, workers; ARGV process, ttl (ms), statement, and, from version 18
-- on, of a process that has opened the store, what that was made with: partitions, schema, needs, numbers. That is put
-- back where it got lost. Answers two lists: of each thing that it knows the version in which it may be written; and
-- what each process says of itself that is there. Refuses a process that does not understand what is there, or would
-- not be understood.
local function attend(keys, args)
  local now, mine, stored = now_ms(), cjson.decode(args[3]), {}
  local fields = redis.call('HGETALL', keys[1])
  for at = 1, #fields, 2 do
    stored[fields[at]] = fields[at + 1]
  end
  if stored.restoring then
    return unfinished_restore()
  end
  -- Of the workers as well: where only ingests are left, no worker would. Before anything is refused, because it may be
  -- refused for the sake of one that has died.
  mend_times(keys[2], now, tonumber(args[2]))
  mend_times(keys[4], now, tonumber(args[2]))
  local others = others_of(keys, args[1], now)
  local made = args[7] and {args[4], args[5], args[6], args[7]}
  local why = made and made_otherwise(made, stored) or unfit_for_store(mine, stored)
  for name, other in pairs(others) do
    why = why or unfit_beside(mine, name, other)
  end
  if why then
    return redis.error_reply('LANEWAY_REFUSED ' .. why)
  end
  for at, field in ipairs(made and MADE_WITH or {}) do
    if made[at] ~= '' then
      redis.call('HSETNX', keys[1], field, made[at])
    end
  end
  local gone = redis.call('ZRANGE', keys[2], '-inf', text(now), 'BYSCORE', 'LIMIT', 0, 1000)
  if #gone > 0 then
    redis.call('ZREM', keys[2], unpack(gone))
    redis.call('HDEL', keys[3], unpack(gone))
  end
  redis.call('ZADD', keys[2], text(now + tonumber(args[2])), args[1])
  redis.call('HSET', keys[3], args[1], args[3])
  local versions = {}
  for thing, own in pairs(mine.formats) do
    local written = tonumber(stored['format:' .. thing] or 0)
    local version, since = read_by_all(thing, own, others)
    if version > written then
      redis.call('HSET', keys[1], 'format:' .. thing, text(version), 'since:' .. thing, since)
      written = version
    end
    versions[#versions + 1] = thing
    versions[#versions + 1] = text(written)
  end
  local said = {}
  for _, process in ipairs(redis.call('ZRANGE', keys[2], '(' .. text(now), '+inf', 'BYSCORE')) do
    said[#said + 1] = process
    said[#said + 1] = redis.call('HGET', keys[3], process)
  end
  return {versions, said}
end

redis.register_function{function_name = 'laneway_attend', callback = attend, flags = {'allow-oom'}}
