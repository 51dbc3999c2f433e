-- A commit: everything that a worker has to say of a partition, in one step or not at all.

-- An error reply, or nothing if the commit may be made. ARGV epoch, worker, witness (offset, check; '' for none),
-- highest position.
local function refuse_commit(log, lease, args)
  if not is_held(lease, args[1], args[2]) then
    return fenced()
  end
  return refuse_other_log(log, args[3], args[4]) or refuse_beyond(log, args[5], args[3])
end

-- How many dead letters one call removes: about a millisecond of Redis' time.
local LETTERS_AT_ONCE = 500

-- Takes away all that a destination has in the partition but its dead letters.
local function drop_lane(progress, lowest, behind, retry, name)
  redis.call('ZREM', lowest, name)
  -- It frees them beside what else Redis does, however many there are.
  redis.call('UNLINK', behind, retry)
  return redis.call('HDEL', progress, 'lane:' .. name, 'paused:' .. name, 'born:' .. name)
end

-- The dead letters of the destinations that are dropped: `first` is the place of the first one's keys, of which
-- :dead:of:<name> is the third. Nothing if there are more than one call removes.
local function letters_to_drop(keys, first, count)
  local all, found = {}, 0
  for n = 1, count do
    local names = redis.call('ZRANGE', keys[first + 3 * n - 1], 0, LETTERS_AT_ONCE - found)
    found = found + #names
    if found > LETTERS_AT_ONCE then
      return nil
    end
    all[n] = names
  end
  return all
end

-- Notes that a position goes back, or that a lane becomes another one: whoever copies progress bit by bit begins again
-- (backup.lua). Everything else that a commit changes only goes forward.
local function note_setback(lease)
  redis.call('HINCRBY', lease, 'setbacks', 1)
end

-- Whether the position goes back from `scanned` (of all) or, with a name, from where its lane is. Either may be nil.
local function goes_back(progress, scanned, name, position)
  local before = scanned
  if name then
    before = redis.call('HGET', progress, 'lane:' .. name)
    if before == 'shared' then
      before = scanned or '0'
    end
  end
  return before and tonumber(position) < tonumber(before)
end

-- Where the position and each changed lane are now: `key` is the place of the first lane's keys, `at` that of its change.
local function commit_lanes(keys, key, args, at, is_old)
  local lease, progress, lowest = keys[2], keys[3], keys[4]
  local scanned = redis.call('HGET', progress, 'scanned')
  if args[6] ~= '' then
    if goes_back(progress, scanned, nil, args[6]) then
      note_setback(lease)
    end
    redis.call('HSET', progress, 'scanned', args[6])
  end
  -- Whoever reads progress in pages sees by it whether they belong together.
  redis.call('HINCRBY', progress, 'commits', 1)
  for _ = 1, tonumber(args[7]) do
    if not is_old then
      local born = args[at]
      at = at + 1
      if born ~= '' then
        note_setback(lease)
      end
      if born == '0' then
        redis.call('HDEL', progress, 'born:' .. args[at])
      elseif born ~= '' then
        redis.call('HSET', progress, 'born:' .. args[at], born)
      end
    end
    local position = args[at + 1]
    if position ~= '' and position ~= 'shared' and goes_back(progress, scanned, args[at], position) then
      note_setback(lease)
    end
    at = change_lane(progress, lowest, keys[key], keys[key + 1], args, at)
    key = key + 2
  end
end

-- What stands at the same places in the calls of this library and in those of library 6.
--
-- KEYS log, lease, progress, :lowest, those of dead_keys (5), :quarantine; :cuts;
--      :behind:<name>, :retry:<name> and :dead:of:<name> of each dropped destination;
--      :behind:<name> and :retry:<name> of each changed lane;
--      :dead:of:<name> of each dead letter that was retried, and of each added;
--      :history and :history:order if it tells of attempts.
-- ARGV epoch, worker, witness (offset, check; '' for none), highest position, scanned ('' as it was),
--      the number of changed lanes, of retried dead letters, of added ones, of records to keep
--      aside; revision and offset of a cut ('' for none), the number of dropped destinations and
--      their names; and then all of these, with a lane's revision ('' as it was) before its change; in calls of
--      laneway_commit_replays what it says of replays, as commit_replays takes it, and in those of laneway_commit_expiry
--      and laneway_commit_cleared both that and what it says of what has expired, as commit_expiry takes it; and what
--      tell takes, if it does.
-- A call of library 6 has neither :cuts nor what is between the semicolons, and no lane's revision.
local function commit_as(keys, args, is_old, has_replays, has_expiry, is_cleared)
  local log, lease, progress, lowest, aside = keys[1], keys[2], keys[3], keys[4], keys[10]
  local refused = refuse_commit(log, lease, args)
  if refused then
    return refused
  end
  local dead = dead_keys(keys, 5)
  local key, at = 11, 11
  if not is_old then
    local count = tonumber(args[13])
    local letters = letters_to_drop(keys, 12, count)
    if not letters then
      return redis.error_reply('LANEWAY_LETTERS there are more than ' .. LETTERS_AT_ONCE .. ' to drop')
    end
    if args[11] ~= '' then
      add_cut(keys[11], args[11], args[12])
    end
    key, at = 12, 14
    if count > 0 then
      note_setback(lease)
    end
    for n = 1, count do
      drop_lane(progress, lowest, keys[key], keys[key + 1], args[at])
      if #letters[n] > 0 then
        remove_letters(dead, keys[key + 2], args[at], letters[n])
      end
      key, at = key + 3, at + 1
    end
  end
  -- What settles events comes behind what becomes of them: an error on the way then leaves less settled than there is.
  local lanes_key, lanes_at = key, at
  for _ = 1, tonumber(args[7]) do
    key, at = key + 2, behind_lane(args, is_old and at or at + 1)
  end
  for _ = 1, tonumber(args[8]) do
    end_retry(dead, keys[key], args, at)
    key, at = key + 1, at + 3
  end
  for _ = 1, tonumber(args[9]) do
    add_letter(log, dead, keys[key], args, at)
    key, at = key + 1, at + 4
  end
  for _ = 1, tonumber(args[10]) do
    quarantine(log, aside, args, at)
    at = at + 2
  end
  commit_lanes(keys, lanes_key, args, lanes_at, is_old)
  if has_replays then
    key, at = commit_replays(lowest, keys, key, args, at, is_cleared)
  end
  if has_expiry then
    key, at = commit_expiry(progress, keys, key, args, at)
  end
  if keys[key] then
    tell(keys[key], keys[key + 1], args, at)
  end
  return redis.status_reply('OK')
end

local function commit(keys, args)
  return commit_as(keys, args, false)
end

local function commit_with_replays(keys, args)
  return commit_as(keys, args, false, true)
end

local function commit_with_expiry(keys, args)
  return commit_as(keys, args, false, true, true)
end

-- From version 18 on: of each replay that ends or begins anew, laneway_clear_replay was called before.
local function commit_cleared(keys, args)
  return commit_as(keys, args, false, true, true, true)
end

local function commit_of_library_6(keys, args)
  return commit_as(keys, args, true)
end

-- Removes some of the dead letters of a destination that a commit drops, under the commit's conditions. KEYS log, lease,
-- :dead:of:<name>, those of dead_keys; ARGV those of refuse_commit, destination. Answers whether there are more.
local function drop_letters(keys, args)
  local refused = refuse_commit(keys[1], keys[2], args)
  if refused then
    return refused
  end
  local names = redis.call('ZRANGE', keys[3], 0, LETTERS_AT_ONCE - 1)
  if #names > 0 then
    remove_letters(dead_keys(keys, 4), keys[3], args[6], names)
  end
  return #names == LETTERS_AT_ONCE and 1 or 0
end

-- Removes some of the keys behind of a replay that a commit ends or begins anew, under the commit's conditions, where
-- there are more than the commit may look at. KEYS log, lease, progress, :replays:<name>, its :behind and :retry; ARGV
-- those of refuse_commit, the replay, where ZSCAN goes on ('0' to begin). Answers where it goes on ('0': the commit may
-- be made).
local function clear_replay_in_steps(keys, args)
  local refused = refuse_commit(keys[1], keys[2], args)
  if refused then
    return refused
  end
  local own, behind, retry, id = keys[4], keys[5], keys[6], args[6]
  local is_few = redis.call('ZCARD', behind) <= REPLAY_KEYS_AT_ONCE
  if is_few or redis.call('HEXISTS', own, 'spec:' .. id) == 0 or is_only_replay(own, id) then
    -- The commit does it.
    return '0'
  end
  local page = redis.call('ZSCAN', behind, args[7], 'COUNT', REPLAY_KEYS_AT_ONCE)
  if remove_replay_keys(behind, retry, id, page[2], 2) > 0 then
    -- Should the commit never be made, the replay begins anew: without these keys it would leave their events out.
    redis.call('HDEL', own, 'mark:' .. id)
    redis.call('HINCRBY', keys[3], 'commits', 1)
  end
  return page[1]
end

-- One step of forgetting a destination. KEYS progress, :lowest, :behind:<name>, :retry:<name>,
-- :dead:of:<name>, those of dead_keys (5), lease (not in calls of library 10), those that drop_replays takes (not in calls
-- before version 12), :expiry (not in calls before version 15); ARGV destination, the most dead letters to remove.
-- Answers whether there was anything, and whether there is more.
local function forget(keys, args)
  local progress, name, most = keys[1], args[1], tonumber(args[2])
  local known = drop_lane(progress, keys[2], keys[3], keys[4], name)
  if keys[12] then
    known = known + drop_replays(keys[2], keys, 12, name)
  end
  if keys[16] then
    redis.call('HDEL', keys[16], name)
  end
  if known > 0 then
    redis.call('HINCRBY', progress, 'commits', 1)
    if keys[11] then
      note_setback(keys[11])
    end
  end
  local names = redis.call('ZRANGE', keys[5], 0, most - 1)
  if #names > 0 then
    known = known + remove_letters(dead_keys(keys, 6), keys[5], name, names)
  end
  return {known > 0 and 1 or 0, #names == most and 1 or 0}
end

-- One page of a partition's progress. KEYS progress, :lowest, requested, letters, :cuts; ARGV where HSCAN goes on in
-- :progress ('0' to begin, '' when it is through), from which member of :lowest on, how many of either, the most
-- requests. Answers the number of commits so far, where HSCAN goes on ('0' when it is through), fields of :progress
-- (one may come twice), lanes that may have keys behind, and with the first page the dead letters that someone wants
-- retried and the cuts. Pages are of one moment if the number of commits is.
local function load_page(keys, args)
  local from, most = tonumber(args[2]), tonumber(args[3])
  local scanned, requests, cuts = {'0', {}}, {}, {}
  if args[1] ~= '' then
    scanned = redis.call('HSCAN', keys[1], args[1], 'COUNT', most)
  end
  if args[1] == '0' and from == 0 then
    requests = requested_letters({keys[3], keys[4]}, {args[4]})
    cuts = cuts_of({keys[5]})
  end
  return {
    redis.call('HGET', keys[1], 'commits') or '0',
    scanned[1],
    scanned[2],
    redis.call('ZRANGE', keys[2], from, from + most - 1),
    requests,
    cuts,
  }
end

-- The same in one, for processes that know no pages. KEYS progress, :lowest, requested, letters, :cuts (not in calls of
-- library 6); ARGV the most requests. Answers all of :progress, the lanes, the requests, and the cuts.
local function load_progress(keys, args)
  return {
    redis.call('HGETALL', keys[1]),
    redis.call('ZRANGE', keys[2], 0, -1),
    requested_letters({keys[3], keys[4]}, args),
    keys[5] and cuts_of({keys[5]}),
  }
end

-- KEYS progress, :behind:<name>, :retry:<name>; ARGV how many to leave out, how many at most. Answers
-- the number of commits so far, and key, offset, retry state ('' for none) of each.
local function load_behind(keys, args)
  local from, most = tonumber(args[1]), tonumber(args[2])
  local scored = redis.call('ZRANGE', keys[2], from, from + most - 1, 'WITHSCORES')
  local answer = {redis.call('HGET', keys[1], 'commits') or '0'}
  local names = {}
  for i = 1, #scored, 2 do
    names[#names + 1] = scored[i]
  end
  if #names == 0 then
    return answer
  end
  for i, retry in ipairs(redis.call('HMGET', keys[3], unpack(names))) do
    answer[#answer + 1] = names[i]
    -- Newer servers write a score of 100000000 as 1e+8.
    answer[#answer + 1] = text(tonumber(scored[2 * i]))
    answer[#answer + 1] = retry or ''
  end
  return answer
end

-- Where some keys stand at some destinations. KEYS progress, :cuts, :behind:<name> and :retry:<name> of each destination;
-- ARGV how many destinations, their names, the keys. Answers fields of :progress, the cuts, and name, key, offset, retry
-- state ('' for none) of each key that is behind.
local function standing(keys, args)
  local count, fields, behind = tonumber(args[1]), {}, {}
  local function add(field)
    local value = redis.call('HGET', keys[1], field)
    if value then
      fields[#fields + 1] = field
      fields[#fields + 1] = value
    end
  end
  add('scanned')
  for n = 1, count do
    local name = args[1 + n]
    add('lane:' .. name)
    add('paused:' .. name)
    add('born:' .. name)
    for k = count + 2, #args do
      local offset = redis.call('ZSCORE', keys[1 + 2 * n], args[k])
      if offset then
        behind[#behind + 1] = name
        behind[#behind + 1] = args[k]
        behind[#behind + 1] = text(tonumber(offset))
        behind[#behind + 1] = redis.call('HGET', keys[2 + 2 * n], args[k]) or ''
      end
    end
  end
  return {fields, cuts_of({keys[2]}), behind}
end

redis.register_function{function_name = 'laneway_standing', callback = standing, flags = {'no-writes'}}
redis.register_function{function_name = 'laneway_commit', callback = commit_of_library_6, flags = {'allow-oom'}}
redis.register_function{function_name = 'laneway_commit_cut', callback = commit, flags = {'allow-oom'}}
redis.register_function{function_name = 'laneway_commit_replays', callback = commit_with_replays, flags = {'allow-oom'}}
redis.register_function{function_name = 'laneway_commit_expiry', callback = commit_with_expiry, flags = {'allow-oom'}}
redis.register_function{function_name = 'laneway_commit_cleared', callback = commit_cleared, flags = {'allow-oom'}}
redis.register_function{function_name = 'laneway_clear_replay', callback = clear_replay_in_steps, flags = {'allow-oom'}}
redis.register_function{function_name = 'laneway_drop_letters', callback = drop_letters, flags = {'allow-oom'}}
redis.register_function{function_name = 'laneway_forget', callback = forget, flags = {'allow-oom'}}
redis.register_function{function_name = 'laneway_load_page', callback = load_page, flags = {'no-writes'}}
redis.register_function{function_name = 'laneway_load', callback = load_progress, flags = {'no-writes'}}
redis.register_function{function_name = 'laneway_load_behind', callback = load_behind, flags = {'no-writes'}}
