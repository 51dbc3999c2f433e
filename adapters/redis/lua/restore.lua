-- Putting a backup into an empty Redis (src/restore/). While that is under way, the store's key says so in the field
-- `restoring`, and no process works on the store; the field goes last.
--
--   {laneway}:store hash, meanwhile: restoring <who>, alive_until <ms, server's time>, schema and needs, which keep
--                   releases away that do not know `restoring`

-- How long a restore is taken to be under way after it said so (ms). Then another one may begin anew.
local RESTORING_FOR = 30000

local function restores_no_more()
  return redis.error_reply('LANEWAY_REFUSED another restore of this store has begun meanwhile, or what it had written was '
    .. 'deleted')
end

-- KEYS {laneway}:store; ARGV who. Answers 1 if a restore was interrupted: then what is here has to go first.
local function restore_begin(keys, args)
  local held = redis.call('HMGET', keys[1], 'restoring', 'alive_until')
  if not held[1] and redis.call('EXISTS', keys[1]) == 1 then
    return redis.error_reply('LANEWAY_REFUSED there is a store')
  end
  local now = now_ms()
  local alive_until = tonumber(held[2] or '0')
  if held[1] and held[1] ~= args[1] and alive_until > now then
    if alive_until > now + RESTORING_FOR then
      -- The clock went back: one that is under way says so again, and nobody waits for one that was interrupted.
      redis.call('HSET', keys[1], 'alive_until', text(now + RESTORING_FOR))
    end
    return redis.error_reply('LANEWAY_REFUSED another restore is under way (' .. held[1] .. '): wait for its end, or end '
      .. 'it and try again half a minute later')
  end
  redis.call('HSET', keys[1], 'restoring', args[1], 'alive_until', text(now + RESTORING_FOR), 'schema', 'unfinished',
    'needs', '(a restore that is not finished)')
  return held[1] and 1 or 0
end

-- KEYS {laneway}:store; ARGV who. Says that it is still under way.
local function restore_goes_on(keys, args)
  if redis.call('HGET', keys[1], 'restoring') ~= args[1] then
    return restores_no_more()
  end
  redis.call('HSET', keys[1], 'alive_until', text(now_ms() + RESTORING_FOR))
  return 1
end

-- KEYS log; ARGV id and entry of each, rising.
local function restore_log(keys, args)
  for at = 1, #args, 2 do
    redis.call('XADD', keys[1], args[at], 'e', args[at + 1])
  end
  return #args / 2
end

-- Some keys that are behind in a lane. KEYS progress, :lowest, :behind:<name>, :retry:<name>; ARGV as change_lane takes
-- them.
local function restore_lane(keys, args)
  change_lane(keys[1], keys[2], keys[3], keys[4], args, 1)
  return 1
end

-- KEYS those of dead_keys, :dead:of:<name>; ARGV destination, and of each name, letter, event, 1 if its retry is asked for.
local function restore_letters(keys, args)
  local dead, of = dead_keys(keys, 1), keys[6]
  for at = 2, #args, 4 do
    local name = args[at]
    redis.call('HSET', dead.letters, name, args[at + 1])
    redis.call('HSET', dead.events, name, args[at + 2])
    redis.call('ZADD', dead.order, 0, name)
    redis.call('ZADD', of, 0, name)
    if args[at + 3] == '1' then
      redis.call('ZADD', dead.requested, 0, name)
    end
    redis.call('HINCRBY', dead.counts, args[1], 1)
  end
  return (#args - 1) / 4
end

-- KEYS :id:<hash> of each; ARGV offset and time left (ms) of each.
local function restore_ids(keys, args)
  for n, key in ipairs(keys) do
    redis.call('SET', key, args[2 * n - 1], 'PX', args[2 * n])
  end
  return #keys
end

-- One more restored partition: it goes on in a new generation. KEYS log, :generation, lease; ARGV how many entries it has,
-- its end (an offset), the generation. Refuses if anybody else has written there.
local function restore_seal(keys, args)
  local log, below = keys[1], tonumber(args[2])
  if redis.call('XLEN', log) ~= tonumber(args[1]) or redis.call('EXISTS', keys[2], keys[3]) > 0 then
    return redis.error_reply('LANEWAY_REFUSED something else has written to ' .. log .. ' meanwhile: stop every Laneway that '
      .. 'uses this store, and run `laneway restore` again')
  end
  if below > 0 and log_span(log) < below then
    -- Its last entries were trimmed, or there are none at all; it was known that they were there.
    redis.call('XADD', log, entry_id(below - 1), 'e', '')
    redis.call('XDEL', log, entry_id(below - 1))
  end
  redis.call('SET', keys[2], args[3])
  return 1
end

-- A write that changes nothing, for WAIT to speak of. KEYS a hash, which may not be there.
local function restore_touch(keys)
  redis.call('HSET', keys[1], 'restoring', '1')
  redis.call('HDEL', keys[1], 'restoring')
  return 1
end

-- The store is whole. KEYS {laneway}:store; ARGV who, and its fields. The same again changes nothing.
local function restore_end(keys, args)
  local held = redis.call('HMGET', keys[1], 'restoring', 'restored_by')
  if held[2] == args[1] then
    return 1
  elseif held[1] ~= args[1] then
    return restores_no_more()
  end
  redis.call('DEL', keys[1])
  redis.call('HSET', keys[1], 'restored_by', args[1], unpack(args, 2))
  return 1
end

redis.register_function('laneway_restore_begin', restore_begin)
redis.register_function('laneway_restore_goes_on', restore_goes_on)
redis.register_function('laneway_restore_log', restore_log)
redis.register_function('laneway_restore_lane', restore_lane)
redis.register_function('laneway_restore_letters', restore_letters)
redis.register_function('laneway_restore_ids', restore_ids)
redis.register_function('laneway_restore_seal', restore_seal)
redis.register_function('laneway_restore_touch', restore_touch)
redis.register_function('laneway_restore_end', restore_end)
