-- A commit: everything that a worker has to say of a partition, in one step or not at all.

-- How many keys come before those of the changed lanes.
local FIXED_KEYS = 10

-- KEYS log, lease, progress, :lowest, those of dead_keys (5), :quarantine;
--      :behind:<name> and :retry:<name> of each changed lane;
--      :dead:of:<name> of each dead letter that was retried, and of each added.
-- ARGV epoch, worker, witness (offset, check; '' for none), highest position, scanned ('' as it was),
--      the number of changed lanes, of retried dead letters, of added ones, of records to keep
--      aside, and then all of these.
local function commit(keys, args)
  local log, lease, progress, lowest, aside = keys[1], keys[2], keys[3], keys[4], keys[10]
  if not is_held(lease, args[1], args[2]) then
    return fenced()
  end
  local refused = refuse_other_log(log, args[3], args[4]) or refuse_beyond(log, args[5], args[3])
  if refused then
    return refused
  end
  if args[6] ~= '' then
    redis.call('HSET', progress, 'scanned', args[6])
  end
  -- Whoever reads progress in pages sees by it whether they belong together.
  redis.call('HINCRBY', progress, 'commits', 1)
  local dead = dead_keys(keys, 5)
  local key, at = FIXED_KEYS + 1, 11
  for _ = 1, tonumber(args[7]) do
    at = change_lane(progress, lowest, keys[key], keys[key + 1], args, at)
    key = key + 2
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
  return redis.status_reply('OK')
end

-- One step of forgetting a destination. KEYS progress, :lowest, :behind:<name>, :retry:<name>,
-- :dead:of:<name>, those of dead_keys; ARGV destination, the most dead letters to remove. Answers
-- whether there was anything, and whether there is more.
local function forget(keys, args)
  local progress, name, most = keys[1], args[1], tonumber(args[2])
  local known = redis.call('HDEL', progress, 'lane:' .. name, 'paused:' .. name)
  if known > 0 then
    redis.call('HINCRBY', progress, 'commits', 1)
    redis.call('ZREM', keys[2], name)
    redis.call('UNLINK', keys[3], keys[4])
  end
  local names = redis.call('ZRANGE', keys[5], 0, most - 1)
  if #names > 0 then
    known = known + remove_letters(dead_keys(keys, 6), keys[5], name, names)
  end
  return {known > 0 and 1 or 0, #names == most and 1 or 0}
end

-- KEYS progress, :lowest, requested, letters; ARGV the most requests. Answers all of :progress, the
-- lanes that may have keys behind, and the dead letters that someone wants retried.
local function load_progress(keys, args)
  return {
    redis.call('HGETALL', keys[1]),
    redis.call('ZRANGE', keys[2], 0, -1),
    requested_letters({keys[3], keys[4]}, args),
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

redis.register_function{function_name = 'laneway_commit', callback = commit, flags = {'allow-oom'}}
redis.register_function{function_name = 'laneway_forget', callback = forget, flags = {'allow-oom'}}
redis.register_function{function_name = 'laneway_load', callback = load_progress, flags = {'no-writes'}}
redis.register_function{function_name = 'laneway_load_behind', callback = load_behind, flags = {'no-writes'}}
