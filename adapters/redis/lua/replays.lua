-- Replays of a partition: what is delivered once more. They came with version 12 of the library; nothing of them is written
-- while a process is there that does not know them (the thing "replay" in processes.lua).
--
--   :replays                 set: the destinations that have any, or had
--   :replays:<name>          hash: last, the largest number that one was given; and of each replay
--                            spec:<id> what is replayed (JSON), until:<id> its end, and
--                            mark:<id> <number> <scanned> <settled>
--   :replays:<name>:behind   sorted set: "<id> <key>", the keys that are behind in a replay, by their offset
--   :replays:<name>:retry    hash: the retry state (JSON) of those of them whose first event has failed
--
-- What they hold of the log stands in :lowest under <name>/replays, which is no destination's name.

-- What a lane's replays are called in :lowest.
local function replays_in_lowest(name)
  return name .. '/replays'
end

-- Takes away all of a destination's replays. `keys` from `key` on: :replays, :replays:<name>, its :behind and :retry.
local function drop_replays(lowest, keys, key, name)
  redis.call('ZREM', lowest, replays_in_lowest(name))
  redis.call('SREM', keys[key], name)
  return redis.call('UNLINK', keys[key + 1], keys[key + 2], keys[key + 3])
end

-- How many keys behind one call looks at: about a millisecond of Redis' time.
local REPLAY_KEYS_AT_ONCE = 500

-- Whether a destination has no other replay than this one.
local function is_only_replay(own, id)
  local fields = redis.call('HGETALL', own)
  for at = 1, #fields, 2 do
    if string.sub(fields[at], 1, 5) == 'spec:' and fields[at] ~= 'spec:' .. id then
      return false
    end
  end
  return true
end

-- Removes those of the keys behind in `members` (every `step`th of them is one) that are of a replay. Answers how many.
local function remove_replay_keys(behind, retry, id, members, step)
  local prefix, some = id .. ' ', {}
  for at = 1, #members, step do
    if string.sub(members[at], 1, #prefix) == prefix then
      some[#some + 1] = members[at]
    end
  end
  call_with('ZREM', behind, some, 1, #some)
  call_with('HDEL', retry, some, 1, #some)
  return #some
end

-- Removes the keys behind of a replay. `is_cleared`: laneway_clear_replay has done it, if there were many.
local function clear_replay(own, behind, retry, id, is_cleared)
  local count = redis.call('ZCARD', behind)
  if count == 0 then
    return
  elseif is_only_replay(own, id) then
    redis.call('UNLINK', behind, retry)
  elseif not is_cleared or count <= REPLAY_KEYS_AT_ONCE then
    -- They stand by their offsets, and a replay that ends has none: this is for those that are cancelled.
    remove_replay_keys(behind, retry, id, redis.call('ZRANGE', behind, 0, -1), 1)
  end
end

-- Keeps `lowest` true for a destination's replays.
local function note_lowest_replay(lowest, own, behind, name)
  local low
  local fields = redis.call('HGETALL', own)
  local until_of, scanned_of = {}, {}
  for at = 1, #fields, 2 do
    local what, id = string.match(fields[at], '^(%a+):(.*)$')
    if what == 'until' then
      until_of[id] = tonumber(fields[at + 1])
    elseif what == 'mark' then
      scanned_of[id] = tonumber(string.match(fields[at + 1], '^%d+ (%d+) '))
    end
  end
  for id, scanned in pairs(scanned_of) do
    if scanned < until_of[id] and (not low or scanned < low) then
      low = scanned
    end
  end
  local first = redis.call('ZRANGE', behind, 0, 0, 'WITHSCORES')[2]
  if first and (not low or tonumber(first) < low) then
    low = tonumber(first)
  end
  if low then
    redis.call('ZADD', lowest, text(low), replays_in_lowest(name))
  else
    redis.call('ZREM', lowest, replays_in_lowest(name))
  end
end

-- One changed replay of a destination: ARGV from `at` on
--   id, what becomes of it ('-' it goes, '' it stays, else what is replayed, as JSON, and its end), mark ('' as it was),
--   n, n * (key, offset ('' caught up), retry state ('' none)).
-- Answers where the next one begins.
local function change_replay(own, behind, retry, args, at, is_cleared)
  local id, spec, ends, mark, count = args[at], args[at + 1], args[at + 2], args[at + 3], tonumber(args[at + 4])
  local first, next_one = at + 5, at + 5 + 3 * count
  if spec ~= '' and redis.call('HEXISTS', own, 'spec:' .. id) == 1 then
    clear_replay(own, behind, retry, id, is_cleared)
  end
  if spec == '-' then
    redis.call('HDEL', own, 'spec:' .. id, 'until:' .. id, 'mark:' .. id)
    return next_one
  elseif spec ~= '' then
    redis.call('HSET', own, 'spec:' .. id, spec, 'until:' .. id, ends)
  elseif redis.call('HEXISTS', own, 'spec:' .. id) == 0 then
    return next_one -- What nobody has begun does not go on.
  end
  if mark ~= '' then
    redis.call('HSET', own, 'mark:' .. id, mark)
    local number = string.match(mark, '^(%d+) ')
    if tonumber(number) > tonumber(redis.call('HGET', own, 'last') or 0) then
      redis.call('HSET', own, 'last', number)
    end
  end
  for at = first, next_one - 1, 3 do
    local member = id .. ' ' .. args[at]
    if args[at + 1] == '' then
      redis.call('ZREM', behind, member)
      redis.call('HDEL', retry, member)
    else
      redis.call('ZADD', behind, args[at + 1], member)
      if args[at + 2] == '' then
        redis.call('HDEL', retry, member)
      else
        redis.call('HSET', retry, member, args[at + 2])
      end
    end
  end
  return next_one
end

-- What a commit says of replays. Answers where the keys and the arguments go on. KEYS from `key` on: :replays,
-- :replays:<name>, its :behind and :retry of each dropped destination, and of each whose replays changed. ARGV from
-- `at` on: how many are dropped, their names; how many changed; of each its name, the number of its changed replays, and
-- those. `is_cleared`: the keys behind of those that end or begin anew were taken away in steps, where there were many.
local function commit_replays(lowest, keys, key, args, at, is_cleared)
  local dropped = tonumber(args[at])
  at = at + 1
  for _ = 1, dropped do
    drop_replays(lowest, keys, key, args[at])
    key, at = key + 4, at + 1
  end
  local changed = tonumber(args[at])
  at = at + 1
  for _ = 1, changed do
    local name, count = args[at], tonumber(args[at + 1])
    at = at + 2
    redis.call('SADD', keys[key], name)
    for _ = 1, count do
      at = change_replay(keys[key + 1], keys[key + 2], keys[key + 3], args, at, is_cleared)
    end
    note_lowest_replay(lowest, keys[key + 1], keys[key + 2], name)
    key = key + 4
  end
  return key, at
end

-- KEYS progress, :replays. Answers the number of commits so far, and the destinations that have replays.
local function replaying(keys)
  return {redis.call('HGET', keys[1], 'commits') or '0', redis.call('SMEMBERS', keys[2])}
end

-- One page of a destination's replays. KEYS progress, :replays:<name>, its :behind and :retry; ARGV how many keys behind to
-- leave out, how many at most. Answers the number of commits so far; with the first page all of :replays:<name>; and member,
-- offset, retry state ('' for none) of each key behind.
local function load_replays(keys, args)
  local from, most = tonumber(args[1]), tonumber(args[2])
  local own = from == 0 and redis.call('HGETALL', keys[2]) or {}
  local scored = redis.call('ZRANGE', keys[3], from, from + most - 1, 'WITHSCORES')
  local rows = {}
  for i = 1, #scored, 2 do
    rows[#rows + 1] = scored[i]
    rows[#rows + 1] = text(tonumber(scored[i + 1]))
    rows[#rows + 1] = redis.call('HGET', keys[4], scored[i]) or ''
  end
  return {redis.call('HGET', keys[1], 'commits') or '0', own, rows}
end

redis.register_function{function_name = 'laneway_replaying', callback = replaying, flags = {'no-writes'}}
redis.register_function{function_name = 'laneway_load_replays', callback = load_replays, flags = {'no-writes'}}
