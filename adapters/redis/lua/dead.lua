-- Dead letters of a partition. Each is named <offset, 16 digits>:<destination>, so that the order
-- of the names is that of offset and destination.
--
--   :dead           hash: name, what became of it, in four lines: event id, event's key (or
--                   empty), what it was ordered with, and the rest as JSON
--   :dead:events    hash: name, the event, as it was in the log
--   :dead:order     sorted set: all names (all with score 0, so that they are in their own order)
--   :dead:of:<name> sorted set: the same of one destination
--   :dead:requested sorted set: those that someone wants retried
--   :dead:counts    hash: how many each destination has

-- All keys but :dead:of:<name>, which comes with the destination. `first` is the place of :dead.
local function dead_keys(keys, first)
  return {
    letters = keys[first],
    events = keys[first + 1],
    order = keys[first + 2],
    requested = keys[first + 3],
    counts = keys[first + 4],
  }
end

-- The first two lines of a dead letter: its event's id and key; nothing of one that is damaged and has fewer. Versions
-- before 17 left them empty where the event was a tenant's: then they are in the copy of the event (`events` and `name`
-- say where).
local function id_and_key(letter, events, name)
  local event_id, key = string.match(letter, '^([^\n]*)\n([^\n]*)\n')
  if event_id == '' and events then
    event_id, key = event_of({'e', redis.call('HGET', events, name) or ''})
  end
  return event_id, key
end

-- A dead letter with its first two lines, if it had none.
local function whole(letter, event_id, key)
  if not event_id or string.sub(letter, 1, 1) ~= '\n' then
    return letter
  end
  return table.concat({event_id, key, string.match(letter, '^[^\n]*\n[^\n]*\n(.*)$')}, '\n')
end

-- Adds a dead letter, with a copy of its event. ARGV from `at` on: destination, offset, name, and the
-- last two lines. If it is there already, or the log has trimmed its event, then this commit has come
-- before.
local function add_letter(log, dead, of, args, at)
  local destination, id, name = args[at], entry_id(tonumber(args[at + 1])), args[at + 2]
  if redis.call('HEXISTS', dead.letters, name) == 1 then
    return
  end
  local entry = redis.call('XRANGE', log, id, id)[1]
  if not entry then
    return
  end
  local event_id, key, bytes = event_of(entry[2])
  local letter = table.concat({event_id, key, args[at + 3]}, '\n')
  redis.call('HSET', dead.letters, name, letter)
  redis.call('HSET', dead.events, name, bytes)
  redis.call('ZADD', dead.order, 0, name)
  redis.call('ZADD', of, 0, name)
  redis.call('HINCRBY', dead.counts, destination, 1)
end

-- Removes dead letters of one destination, and answers how many there were.
local function remove_letters(dead, of, destination, names)
  local removed = redis.call('HDEL', dead.letters, unpack(names))
  redis.call('HDEL', dead.events, unpack(names))
  redis.call('ZREM', dead.order, unpack(names))
  redis.call('ZREM', dead.requested, unpack(names))
  redis.call('ZREM', of, unpack(names))
  if removed > 0 and redis.call('HINCRBY', dead.counts, destination, -removed) <= 0 then
    redis.call('HDEL', dead.counts, destination)
  end
  return removed
end

-- Ends a retry. ARGV from `at` on: destination, name, '' if it was delivered, else the
-- last two lines, with the failure added. That counts only while the retry is asked for: the
-- same commit again must not take away a request that came after it.
local function end_retry(dead, of, args, at)
  local destination, name, rest = args[at], args[at + 1], args[at + 2]
  if rest == '' then
    -- A replay says so of each event that it delivers, and few of them were dead letters.
    if redis.call('HEXISTS', dead.letters, name) == 1 then
      remove_letters(dead, of, destination, {name})
    end
    return
  end
  if redis.call('ZREM', dead.requested, name) == 0 then
    return
  end
  local letter = redis.call('HGET', dead.letters, name)
  if letter then
    local event_id, key = id_and_key(letter, dead.events, name)
    -- One that is damaged stays as it is, for people: a commit must not fail because of it.
    if event_id then
      redis.call('HSET', dead.letters, name, table.concat({event_id, key, rest}, '\n'))
    end
  end
end

-- The names behind `after` in one of the orders, at most `most`.
local function names_after(order, after, most)
  local from = after == '' and '-' or '(' .. after
  return redis.call('ZRANGE', order, from, '+', 'BYLEX', 'LIMIT', 0, most)
end

-- Those of the names that are of this event key and id, where given, and their letters. `events` may be missing in
-- calls of versions before 12.
local function selected(letters, events, names, key, id)
  local chosen, texts = {}, {}
  if #names == 0 then
    return chosen, texts
  end
  for i, letter in ipairs(redis.call('HMGET', letters, unpack(names))) do
    if letter then
      local of_id, of_key = id_and_key(letter, events, names[i])
      if (key == '' or key == of_key) and (id == '' or id == of_id) then
        chosen[#chosen + 1], texts[#texts + 1] = names[i], whole(letter, of_id, of_key)
      end
    end
  end
  return chosen, texts
end

-- KEYS an order (:dead:order or :dead:of:<name>), letters, requested, and from version 12 on :dead:events; ARGV after, how
-- many to look at, event key, event id ('': any). Answers the last name looked at ('': there are no more), and for each
-- selected one its name, its letter, whether its retry is asked for, from version 12 on its event's type, and from
-- version 18 on its event's tenant ('': none).
local function letters_with(keys, args, typed, owned)
  local names = names_after(keys[1], args[1], args[2])
  local chosen, texts = selected(keys[2], keys[4], names, args[3], args[4])
  local answer = {#names == tonumber(args[2]) and names[#names] or ''}
  for i, name in ipairs(chosen) do
    answer[#answer + 1] = name
    answer[#answer + 1] = texts[i]
    answer[#answer + 1] = redis.call('ZSCORE', keys[3], name) and 1 or 0
    if typed then
      local copy = redis.call('HGET', keys[4], name) or ''
      answer[#answer + 1] = select(4, event_of({'e', copy}))
      if owned then
        answer[#answer + 1] = tenant_of(copy)
      end
    end
  end
  return answer
end

local function letters(keys, args)
  return letters_with(keys, args, false, false)
end

local function typed_letters(keys, args)
  return letters_with(keys, args, true, false)
end

local function owned_letters(keys, args)
  return letters_with(keys, args, true, true)
end

-- Does to dead letters of a destination what is asked: 'retry' or 'discard'.
local function change_chosen(dead, of, change, destination, chosen)
  if #chosen == 0 then
    return
  elseif change == 'discard' then
    remove_letters(dead, of, destination, chosen)
    return
  end
  for _, name in ipairs(chosen) do
    redis.call('ZADD', dead.requested, 0, name)
  end
end

-- KEYS :dead:of:<name>, then those of dead_keys; ARGV 'retry' or 'discard', destination, after, how
-- many to look at, event key, event id. Answers the last name looked at ('': there are no more),
-- and how many were changed.
local function change_letters(keys, args)
  local of, dead = keys[1], dead_keys(keys, 2)
  local names = names_after(of, args[3], args[4])
  local chosen = selected(dead.letters, dead.events, names, args[5], args[6])
  change_chosen(dead, of, args[1], args[2], chosen)
  return {#names == tonumber(args[4]) and names[#names] or '', #chosen}
end

-- KEYS as those of change_letters; ARGV 'retry' or 'discard', destination, and the names of dead letters of it. Answers
-- how many of them were there, and are changed.
local function change_named(keys, args)
  local of, dead = keys[1], dead_keys(keys, 2)
  local chosen = {}
  for at = 3, #args do
    if redis.call('HEXISTS', dead.letters, args[at]) == 1 then
      chosen[#chosen + 1] = args[at]
    end
  end
  change_chosen(dead, of, args[1], args[2], chosen)
  return #chosen
end

-- KEYS requested, letters; ARGV most, from version 17 on the name to begin after, and from version 18 on 'all'. Answers
-- name and what it was ordered with of each dead letter that someone wants retried, in order. With 'all', '' stands for
-- what it was ordered with where the letter does not say, or is not there; without, such a one is left out.
local function requested_letters(keys, args)
  local names = names_after(keys[1], args[2] or '', args[1])
  local answer = {}
  if #names == 0 then
    return answer
  end
  for i, letter in ipairs(redis.call('HMGET', keys[2], unpack(names))) do
    local ordered_with = letter and string.match(letter, '^[^\n]*\n[^\n]*\n([^\n]*)\n')
    if ordered_with or args[3] == 'all' then
      answer[#answer + 1] = names[i]
      answer[#answer + 1] = ordered_with or ''
    end
  end
  return answer
end

-- KEYS requested; ARGV names of dead letters that cannot be retried: nobody wants them to be any more.
local function withdraw_requests(keys, args)
  return redis.call('ZREM', keys[1], unpack(args))
end

redis.register_function{function_name = 'laneway_dead_list', callback = letters, flags = {'no-writes'}}
redis.register_function{function_name = 'laneway_dead_typed', callback = typed_letters, flags = {'no-writes'}}
redis.register_function{function_name = 'laneway_dead_owned', callback = owned_letters, flags = {'no-writes'}}
redis.register_function{function_name = 'laneway_dead_change_named', callback = change_named, flags = {'allow-oom'}}
redis.register_function{function_name = 'laneway_dead_change', callback = change_letters, flags = {'allow-oom'}}
redis.register_function{function_name = 'laneway_dead_requested', callback = requested_letters, flags = {'no-writes'}}
redis.register_function{function_name = 'laneway_dead_withdraw', callback = withdraw_requests, flags = {'allow-oom'}}
