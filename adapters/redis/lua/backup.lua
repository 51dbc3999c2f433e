-- Reading a store bit by bit while it is used, for a copy of it (src/backup/). Each call is a small step.
--
-- Progress may change between two steps. Where the steps are made in this order (the partition's position, its lanes,
-- their keys that are behind, dead letters), that makes no copy wrong: positions only rise, and a key is behind until it
-- has caught up with its lane. So what is read later is at most further than what was read before, and the copy never
-- says that something is settled that is not. What goes back is counted (`setbacks`): then the steps are made anew.

local function setbacks_of(lease)
  return redis.call('HGET', lease, 'setbacks') or '0'
end

-- KEYS progress, lease, :cuts; ARGV where HSCAN goes on ('0' to begin), how many. Answers the setbacks so far, the
-- partition's position, where HSCAN goes on ('0' when it is through), fields of :progress (one may come twice), and with
-- the first page the cuts.
local function copy_progress(keys, args)
  local scanned = redis.call('HGET', keys[1], 'scanned') or '0'
  local page = redis.call('HSCAN', keys[1], args[1], 'COUNT', args[2])
  local cuts = args[1] == '0' and cuts_of({keys[3]}) or {}
  return {setbacks_of(keys[2]), scanned, page[1], page[2], cuts}
end

-- KEYS lease, :behind:<name>, :retry:<name>; ARGV where ZSCAN goes on, how many. Answers the setbacks so far, where ZSCAN
-- goes on, and key, offset, retry state ('' for none) of each.
local function copy_behind(keys, args)
  local page = redis.call('ZSCAN', keys[2], args[1], 'COUNT', args[2])
  local names, answer = {}, {setbacks_of(keys[1]), page[1]}
  for i = 1, #page[2], 2 do
    names[#names + 1] = page[2][i]
  end
  for first = 1, #names, CALL_ARGUMENTS do
    local some = redis.call('HMGET', keys[3], unpack(names, first, math.min(first + CALL_ARGUMENTS - 1, #names)))
    for i, retry in ipairs(some) do
      local at = first + i - 1
      answer[#answer + 1] = names[at]
      answer[#answer + 1] = text(tonumber(page[2][2 * at]))
      answer[#answer + 1] = retry or ''
    end
  end
  return answer
end

-- KEYS :dead:order, letters, events, requested; ARGV after which name, how many at most, how many bytes of events about.
-- Answers the last name looked at ('': there are no more), and name, letter, event, and whether its retry is asked for,
-- of each. One that was taken away meanwhile is left out.
local function copy_letters(keys, args)
  local names, room = names_after(keys[1], args[1], args[2]), tonumber(args[3])
  local answer = {#names == tonumber(args[2]) and names[#names] or ''}
  for i, name in ipairs(names) do
    local letter, event = redis.call('HGET', keys[2], name), redis.call('HGET', keys[3], name)
    if letter then
      answer[#answer + 1] = name
      answer[#answer + 1] = letter
      answer[#answer + 1] = event or ''
      answer[#answer + 1] = redis.call('ZSCORE', keys[4], name) and 1 or 0
    end
    room = room - #(event or '')
    if room <= 0 and i < #names then
      answer[1] = name
      break
    end
  end
  return answer
end

-- KEYS :id:<hash> of some ids. Answers of each the offset of its event ('' if it is no longer remembered), and for how
-- long it still is (ms).
local function copy_ids(keys)
  local answer = {}
  for _, key in ipairs(keys) do
    answer[#answer + 1] = redis.call('GET', key) or ''
    answer[#answer + 1] = redis.call('PTTL', key)
  end
  return answer
end

-- KEYS head, records, changed, deleted; ARGV after which revision, how many at most, how many bytes about. Answers the
-- last revision, up to which revision deleted ones may be forgotten, and name, revision, whether it is deleted, and the
-- record of each that changed after, the earliest change first. The records of one revision come together: they were one
-- write, which is no larger than this.
local function copy_records(keys, args)
  local most, room = tonumber(args[2]), tonumber(args[3])
  local head = redis.call('HMGET', keys[1], 'last', 'forgotten')
  local found = redis.call('ZRANGE', keys[3], '(' .. args[1], '+inf', 'BYSCORE', 'LIMIT', 0, most + 1, 'WITHSCORES')
  local upto = #found
  for i = 1, #found, 2 do
    room = room - redis.call('HSTRLEN', keys[2], found[i])
    if i > 2 * most or (room < 0 and i > 1) then
      -- All of the revision that this one belongs to come with the next call, unless there is no other.
      upto = i - 1
      while upto > 0 and found[upto] == found[i + 1] do
        upto = upto - 2
      end
      if upto == 0 then
        return redis.error_reply('LANEWAY_REFUSED the records of one change are more than one answer holds')
      end
      break
    end
  end
  local answer = {head[1] or '0', head[2] or '0'}
  for i = 1, upto, 2 do
    answer[#answer + 1] = found[i]
    answer[#answer + 1] = text(tonumber(found[i + 1]))
    answer[#answer + 1] = redis.call('ZSCORE', keys[4], found[i]) and 1 or 0
    answer[#answer + 1] = redis.call('HGET', keys[2], found[i]) or ''
  end
  return answer
end

redis.register_function{function_name = 'laneway_copy_progress', callback = copy_progress, flags = {'no-writes'}}
redis.register_function{function_name = 'laneway_copy_behind', callback = copy_behind, flags = {'no-writes'}}
redis.register_function{function_name = 'laneway_copy_letters', callback = copy_letters, flags = {'no-writes'}}
redis.register_function{function_name = 'laneway_copy_ids', callback = copy_ids, flags = {'no-writes'}}
redis.register_function{function_name = 'laneway_copy_records', callback = copy_records, flags = {'no-writes'}}
