
-- The log of a partition.
--
--   :log        stream: <generation>-<sequence>, one field `e` (src/codec.rs says what is in it)
--   :generation number, 1 while there is none. Raised when data that was acknowledged has been
--               lost, so that no offset is given out twice; and by a restore, for the same reason
--   :lost       hash: per generation that lost something, <from>:<below> in offsets
--   :mark       number: the offset of an entry that a reader waits for replicas to have
--   :id:<hash>  number: the offset of the event that came first with that id

-- Where things are in an entry, counted from 1 (see src/codec.rs).
local CHECK_AT, ACCEPTED_AT, FLAGS_AT, ID_AT = 2, 6, 14, 15
local HAS_USUAL_CONTENT_TYPE, ID_IS_UUID, HAS_TRACE, TRACE_BYTES = 16, 32, 64, 25
-- The newest version of an entry; the same number stands in src/codec.rs.
local NEWEST_ENTRY = 3

-- Where a generation ends that a restore or a loss has begun, and the next one goes on: outside, the numbers of such
-- generations lie 2^32 apart (src/numbers.rs). One call appends fewer events than are left.
local ROLLS_OVER_AT = 4294967296 - 4096

local function generation_of(generation_key)
  return tonumber(redis.call('GET', generation_key) or 1)
end

-- The log's end (the offset after the last that was given out; zero if there never was one), and the
-- offset of its first entry (nil if there is none). Nothing tells both without an entry's data; this
-- brings one entry, the first. (Without FULL it would be the first and the last.)
local function log_span(log)
  if redis.call('EXISTS', log) == 0 then
    return 0, nil
  end
  local info, last, first = redis.call('XINFO', 'STREAM', log, 'FULL', 'COUNT', 1), '0-0', '0-0'
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
      last = info[i + 1]
    elseif info[i] == 'recorded-first-entry-id' then
      first = info[i + 1]
    end
  end
  return last == '0-0' and 0 or offset_of(last) + 1, first ~= '0-0' and offset_of(first) or nil
end

-- The entry at an offset, or nil.
local function entry_at(log, offset)
  local id = entry_id(offset)
  local found = redis.call('XRANGE', log, id, id)[1]
  return found and found[2][2]
end

-- An error reply if the log's end is below `offset`: whoever knows of that has seen another log.
-- `witness` is an offset at which this log is known to have had an entry ('' for none): nothing has
-- to be read for what is not beyond that.
local function refuse_beyond(log, offset, witness)
  if witness ~= '' and tonumber(offset) <= tonumber(witness) + 1 then
    return nil
  end
  local known = log_span(log)
  if tonumber(offset) > known then
    return redis.error_reply('LANEWAY_BEYOND position ' .. offset .. ' is beyond the end of the log at ' .. text(known))
  end
end

-- Whether the entry at `offset` is no longer the one whose check was `check`. One that was trimmed
-- was not replaced.
local function is_other(log, offset, check)
  local entry = entry_at(log, offset)
  if entry then
    return number_at(entry, CHECK_AT, 4) ~= check
  end
  local below, start = log_span(log)
  return offset >= (start or below)
end

-- An error reply if the entry that was read last (its offset and its check, both as text; '' for
-- none) is no longer the same: then the numbers of this log are not those that were seen.
local function refuse_other_log(log, offset, check)
  if offset ~= '' and is_other(log, tonumber(offset), tonumber(check)) then
    return redis.error_reply('LANEWAY_GENERATION the event at offset ' .. offset .. ' is no longer the one that was read there')
  end
end

-- The id and the key ('' for none) of an entry's event, the entry's bytes, and the event's type, out of the fields as
-- XRANGE gives them. An entry that cannot be understood has none of them.
local function event_of(fields)
  local entry = fields[2] or ''
  local version = string.byte(entry, 1)
  -- All known versions have these fields at the same places.
  if fields[1] ~= 'e' or not version or version < 1 or version > NEWEST_ENTRY then
    return '', '', entry, ''
  end
  local flags, id, at = string.byte(entry, FLAGS_AT) or 0, nil, nil
  if math.floor(flags / ID_IS_UUID) % 2 == 1 then
    at = ID_AT + 16
    local hex = string.gsub(string.sub(entry, ID_AT, at - 1), '.', function(byte)
      return string.format('%02x', string.byte(byte))
    end)
    id = string.gsub(hex, '^(........)(....)(....)(....)(............)$', '%1-%2-%3-%4-%5')
  else
    at = ID_AT + 2 + number_at(entry, ID_AT, 2)
    id = string.sub(entry, ID_AT + 2, at - 1)
  end
  local key = ''
  if flags % 2 == 1 then
    key = string.sub(entry, at + 2, at + 1 + number_at(entry, at, 2))
    at = at + 2 + #key
  end
  return id, key, entry, string.sub(entry, at + 2, at + 1 + number_at(entry, at, 2))
end

-- The tenant of the event in an entry's bytes; '' for none, or if it cannot be understood.
local function tenant_of(entry)
  local version = string.byte(entry, 1)
  if not version or version < 3 or version > NEWEST_ENTRY then
    return ''
  end
  local flags, at = string.byte(entry, FLAGS_AT) or 0, ID_AT
  local function skip(length_bytes)
    at = at + length_bytes + number_at(entry, at, length_bytes)
  end
  local function has(flag)
    return math.floor(flags / flag) % 2 == 1
  end
  if has(ID_IS_UUID) then at = at + 16 else skip(2) end
  if has(1) then skip(2) end
  skip(2)
  if not has(HAS_USUAL_CONTENT_TYPE) then skip(2) end
  for _, flag in ipairs({2, 4, 8}) do
    if has(flag) then skip(2) end
  end
  local attributes = string.byte(entry, at) or 0
  at = at + 1
  for _ = 1, attributes do
    skip(1)
    at = at + 1
    skip(2)
  end
  if has(HAS_TRACE) then at = at + TRACE_BYTES end
  return string.sub(entry, at + 1, at + (string.byte(entry, at) or 0))
end

-- Ends whoever's lease: nothing can be committed under it any more, and whoever comes next loads
-- the progress that there is.
local function fence(lease)
  redis.call('HINCRBY', lease, 'epoch', 1)
  redis.call('HDEL', lease, 'worker', 'until')
end

-- What of from..below, lost of a generation, was not known to be lost yet: adds it, and answers it.
local function note_lost(lost, generation, from, below)
  local known = redis.call('HGET', lost, text(generation))
  local known_from, known_below
  if known then
    known_from, known_below = string.match(known, '^(%d+):(%d+)$')
    known_from, known_below = tonumber(known_from), tonumber(known_below)
  end
  if not known_from then
    redis.call('HSET', lost, text(generation), text(from) .. ':' .. text(below))
    return from, below
  end
  if from >= known_from and below <= known_below then
    return nil
  end
  redis.call('HSET', lost, text(generation),
    text(math.min(from, known_from)) .. ':' .. text(math.max(below, known_below)))
  if from < known_from and below <= known_below then
    return from, known_from
  elseif from >= known_from then
    return math.max(from, known_below), below
  end
  return from, below
end

-- Data was lost: from now on numbers are given out of a generation that is above `seen` and above
-- the current one. Answers it, or nil if there are no more.
local function raise_generation(generation_key, lease, seen)
  local next = math.max(generation_of(generation_key), seen) + 1
  if next > MAX_GENERATION then
    return nil
  end
  redis.call('SET', generation_key, text(next))
  fence(lease)
  return next
end

local function no_more_generations()
  return redis.error_reply('LANEWAY_REFUSED this partition has lost data ' .. MAX_GENERATION
    .. ' times, and has no more generations of offsets: move to a new store')
end

local function add(log, generation, entry)
  return redis.call('XADD', log, text(generation) .. '-*', 'e', entry)
end

-- If the number that the next entry gets is below what was seen acknowledged, then what was there
-- has been lost. Numbers over: nothing is given out twice. The first entry tells its number; it is
-- put back in that case. Answers its offset, the generation, and what was lost.
local function add_first(keys, expected, entry)
  local log, generation = keys[1], generation_of(keys[2])
  local offset = offset_of(add(log, generation, entry))
  if offset >= expected then
    if generation > 1 and offset % SEQUENCES >= ROLLS_OVER_AT and generation < MAX_GENERATION then
      -- From the next call on.
      redis.call('SET', keys[2], text(generation + 1))
    end
    return offset, generation
  end
  redis.call('XDEL', log, entry_id(offset))
  local seen = math.floor((expected - 1) / SEQUENCES) + 1
  local raised = raise_generation(keys[2], keys[3], seen)
  if not raised then
    return nil
  end
  local from, below = note_lost(keys[4], seen, offset, expected)
  return offset_of(add(log, raised, entry)), raised, from, below
end

-- Appends events in order. KEYS log, :generation, lease, :lost, and :id:<hash> of each event that
-- has one; ARGV the offset after the highest that was seen acknowledged (0: none), the duplicate
-- window (ms), 1 if a duplicate must be written again, per event a byte: 1 if it has an id, else 0
-- (all of them one string), and per event its entry. Answers the generation, what is newly known to
-- be lost ('' or two offsets), how many were appended, and the offset of the first of them, which
-- the others follow; then per duplicate its place among the events (from 0) and the offset of the
-- one that came first.
local function append(keys, args)
  local call, log, again, has_id = redis.call, keys[1], args[3] == '1', args[4]
  local generation, from, below, first, number
  local answer, count, next_id = {0, '', '', 0, 0}, 0, 5
  for at = 5, #args do
    local id, known
    if string.byte(has_id, at - 4) == 49 then
      id = keys[next_id]
      next_id = next_id + 1
      known = call('GET', id)
    end
    if known then
      if again then
        -- A duplicate says that the first is safe. WAIT waits only for what was written on its
        -- connection, so this must be a write, and it comes after the first one's.
        call('SET', id, known, 'KEEPTTL')
      end
      answer[#answer + 1] = at - 5
      answer[#answer + 1] = tonumber(known)
    else
      if generation then
        -- Redis counts on from the first one: its number need not be read out of each id.
        call('XADD', log, number, 'e', args[at])
      else
        first, generation, from, below = add_first(keys, tonumber(args[1]), args[at])
        if not first then
          return no_more_generations()
        end
        number = text(generation) .. '-*'
      end
      if id then
        call('SET', id, text(first + count), 'PX', args[2])
      end
      count = count + 1
    end
  end
  answer[1], answer[4], answer[5] = generation or generation_of(keys[2]), count, first or 0
  if from then
    answer[2], answer[3] = text(from), text(below)
  end
  return answer
end

-- A reader has found that entries which it had read are gone or others. KEYS as for append; ARGV the
-- offset and the check of one of them, and what was lost: from, below. Answers the generation from
-- now on and what is newly known to be lost.
local function diverged(keys, args)
  local offset, check = tonumber(args[1]), tonumber(args[2])
  if not is_other(keys[1], offset, check) then
    return redis.error_reply('LANEWAY_REFUSED the event at offset ' .. args[1] .. ' is the one that was read there')
  end
  local seen = math.floor(offset / SEQUENCES) + 1
  local generation = generation_of(keys[2])
  if generation <= seen then
    generation = raise_generation(keys[2], keys[3], seen)
    if not generation then
      return no_more_generations()
    end
  end
  local from, below = note_lost(keys[4], seen, tonumber(args[3]), tonumber(args[4]))
  return {generation, from and text(from) or '', below and text(below) or ''}
end

-- KEYS log, :generation. Answers where the log begins and ends, and its generation.
local function bounds(keys)
  local below, start = log_span(keys[1])
  return {text(start or below), text(below), generation_of(keys[2])}
end

-- KEYS log. ARGV offset, check of entries, by rising offset. Answers how many of the first are
-- still the same (or were trimmed), and the log's end. Each entry is read whole: whoever has many of
-- them asks for a few at a time.
local function compare(keys, args)
  local same = 0
  for at = 1, #args, 2 do
    if is_other(keys[1], tonumber(args[at]), tonumber(args[at + 1])) then
      break
    end
    same = same + 1
  end
  return {same, text((log_span(keys[1])))}
end

-- Writes something behind what was read: WAIT waits only for what was written on its connection.
-- KEYS log, :mark. ARGV offset and check of the furthest entry that was read.
local function mark(keys, args)
  local refusal = refuse_other_log(keys[1], args[1], args[2])
  if refusal then
    return refusal
  end
  redis.call('SET', keys[2], args[1])
  return 1
end

redis.register_function('laneway_append', append)
redis.register_function{function_name = 'laneway_mark', callback = mark, flags = {'allow-oom'}}
redis.register_function{function_name = 'laneway_diverged', callback = diverged, flags = {'allow-oom'}}
redis.register_function{function_name = 'laneway_bounds', callback = bounds, flags = {'no-writes'}}
redis.register_function{function_name = 'laneway_compare', callback = compare, flags = {'no-writes'}}
