#!lua name=laneway

-- Laneway's functions. Each is one atomic step on the keys of one partition (which are all in one
-- slot), and each key that one touches is among its KEYS.
--
-- Refusals are error replies that begin with LANEWAY_FENCED, LANEWAY_BEYOND, LANEWAY_GENERATION,
-- LANEWAY_LETTERS or LANEWAY_REFUSED, given before anything was written. (An error that is raised on the way would
-- leave half of a change behind.)
--
-- Offsets are plain decimal numbers, below 2^53 so that Lua's numbers hold them exactly:
-- offset = (generation - 1) * 2^40 + sequence, where the entry's id is <generation>-<sequence>.

local VERSION = 14
-- The oldest version whose calls these functions still answer as it expects.
local OLDEST_CALLS = 6

local SEQUENCES = 1099511627776 -- 2^40
-- The last generation whose offsets are below 2^53.
local MAX_GENERATION = 8191

-- A number as Redis and Rust read it: no exponent, no decimal point.
local function text(number)
  return string.format('%.0f', number)
end

-- Milliseconds by the server's clock.
local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function entry_id(offset)
  local generation = math.floor(offset / SEQUENCES)
  return text(generation + 1) .. '-' .. text(offset - generation * SEQUENCES)
end

local function offset_of(id)
  local generation, sequence = string.match(id, '^(%d+)-(%d+)$')
  return (tonumber(generation) - 1) * SEQUENCES + tonumber(sequence)
end

-- A big-endian number of `bytes` bytes at `at`.
local function number_at(entry, at, bytes)
  local number = 0
  for i = at, at + bytes - 1 do
    number = number * 256 + (string.byte(entry, i) or 0)
  end
  return number
end

redis.register_function{
  function_name = 'laneway_version',
  callback = function() return VERSION end,
  flags = {'no-writes', 'allow-stale'},
}

-- While the field `restoring` is there, a store holds a part of a backup.
local function unfinished_restore()
  return redis.error_reply('LANEWAY_REFUSED a restore of this store is under way, or was interrupted: what is here is a '
    .. 'part of a backup. Let it finish, or run `laneway restore` again, which begins anew')
end

-- What the store was made with. KEYS {laneway}:store; ARGV partitions, schema. Keeps them if there
-- is nothing yet, and answers what is there; of a newer schema also the release that it needs (`needs`), of a store that
-- was restored what its offsets are called outside (src/numbers.rs).
local function open(keys, args)
  if redis.call('HEXISTS', keys[1], 'restoring') == 1 then
    return unfinished_restore()
  end
  redis.call('HSETNX', keys[1], 'partitions', args[1])
  redis.call('HSETNX', keys[1], 'schema', args[2])
  return redis.call('HMGET', keys[1], 'partitions', 'schema', 'needs', 'numbers')
end

redis.register_function{function_name = 'laneway_open', callback = open, flags = {'allow-oom'}}

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
local ID_IS_UUID = 32

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
  -- Both known versions have these fields at the same places.
  if fields[1] ~= 'e' or (version ~= 1 and version ~= 2) then
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
-- Progress of a partition, and the lease that fences it. All of it is text that redis-cli shows:
--
--   :lease         hash: epoch; while somebody has the lease also worker, since and until (ms, server's time); setbacks,
--                  how often a position went back or a lane became another one (backup.lua); and former, who had it
--                  before, the latest first: a line of epoch, since, until, `over` (handed over) or `out` (ran out), and
--                  worker.
--                  It never expires: an epoch must not be given out twice.
--   :progress      hash: scanned <offset>, commits <how many>, and per destination
--                  lane:<name> shared|<offset>, paused:<name> <since ms> <reason>, and
--                  born:<name> <revision> where a change made the destination
--   :behind:<name> sorted set: the lane's keys that are behind, by the offset they stand at
--   :behind:<name>:retry hash: the retry state (JSON) of those of them whose first event has failed
--   :lowest        sorted set: lanes that hold the trim by themselves, by the lowest offset they
--                  need: their own position, or that of a key behind
--   :cuts          sorted set: revisions of the destinations, by the offset from which on the partition
--                  follows them; both rise
--   :quarantine    hash: <offset> why it could not be read, <offset>:entry what is there instead
--
-- Offsets are scores of sorted sets, which are exact up to 2^53, and so are all offsets (header.lua).

local function fenced()
  return redis.error_reply('LANEWAY_FENCED the lease is no longer held under this epoch')
end

-- An epoch that is above the one before, and above those that the server has lost with the key: it
-- is never below the clock's microseconds, which are below 2^53 until the year 2255.
local function next_epoch(lease)
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
  return math.max(tonumber(redis.call('HGET', lease, 'epoch') or 0) + 1, now)
end

-- The worker is compared too: should a failover lose a claim, and the clock of the new primary be
-- behind, two workers might be given the same epoch.
local function is_held(lease, epoch, worker)
  local held = redis.call('HMGET', lease, 'epoch', 'worker')
  return held[1] == epoch and held[2] == worker
end

-- Those who had a partition before the one that has it (laneway_ports::MAX_TENURES, less that one).
local MAX_FORMER = 31

-- Notes that the time of the worker that has the lease has ended, and how.
local function note_end(lease, ended_at, how)
  local held = redis.call('HMGET', lease, 'epoch', 'worker', 'since', 'former')
  local lines = {held[1] .. ' ' .. (held[3] or '0') .. ' ' .. text(ended_at) .. ' ' .. how .. ' ' .. held[2]}
  for line in string.gmatch(held[4] or '', '[^\n]+') do
    if #lines == MAX_FORMER then
      break
    end
    lines[#lines + 1] = line
  end
  redis.call('HSET', lease, 'former', table.concat(lines, '\n'))
end

-- KEYS lease; ARGV worker, ttl (ms). Answers the new epoch, or nothing if another worker has it.
local function claim(keys, args)
  local lease, worker, ttl = keys[1], args[1], tonumber(args[2])
  local now = now_ms()
  local held = redis.call('HMGET', lease, 'worker', 'until')
  local ends = tonumber(held[2] or '0')
  if held[1] and held[1] ~= worker and ends > now then
    return false
  end
  if held[1] then
    note_end(lease, math.min(ends, now), ends > now and 'over' or 'out')
  end
  local epoch = text(next_epoch(lease))
  redis.call('HSET', lease, 'epoch', epoch, 'worker', worker, 'since', text(now), 'until', text(now + ttl))
  return epoch
end

-- KEYS lease. Answers epoch, worker, since, until and former, each empty where there is none.
local function tenures(keys)
  local held = redis.call('HMGET', keys[1], 'epoch', 'worker', 'since', 'until', 'former')
  for i = 1, 5 do
    held[i] = held[i] or ''
  end
  return held
end

-- KEYS lease; ARGV epoch, worker, ttl (ms).
local function renew(keys, args)
  if not is_held(keys[1], args[1], args[2]) then
    return fenced()
  end
  redis.call('HSET', keys[1], 'until', text(now_ms() + tonumber(args[3])))
  return redis.status_reply('OK')
end

-- KEYS lease; ARGV epoch, worker. The epoch stays.
local function release(keys, args)
  if not is_held(keys[1], args[1], args[2]) then
    return fenced()
  end
  note_end(keys[1], now_ms(), 'over')
  redis.call('HDEL', keys[1], 'worker', 'since', 'until')
  return redis.status_reply('OK')
end

-- The position below which every lane has settled everything: nothing above it may be trimmed.
-- Zero while there is no lane. (PartitionProgress::settled_below, without a loop over the lanes.)
local function settled_below(progress, lowest)
  local own = redis.call('HMGET', progress, 'scanned', 'commits')
  local fields = redis.call('HLEN', progress)
  if fields == (own[1] and 1 or 0) + (own[2] and 1 or 0) then
    return 0
  end
  local settled = tonumber(own[1] or '0')
  local first = redis.call('ZRANGE', lowest, 0, 0, 'WITHSCORES')
  return first[2] and math.min(settled, tonumber(first[2])) or settled
end

-- The last cut: revision and offset, as text; nothing if there is none.
local function last_cut(cuts)
  local last = redis.call('ZRANGE', cuts, -1, -1, 'WITHSCORES')
  if last[1] then
    return last[1], text(tonumber(last[2]))
  end
end

-- Adds a cut as Cuts::add does: a revision that is known already changes nothing, and one that is taken over
-- where the last one was takes its place.
local function add_cut(cuts, revision, at)
  local last, last_at = last_cut(cuts)
  if last and tonumber(revision) <= tonumber(last) then
    return
  end
  if last and tonumber(at) <= tonumber(last_at) then
    redis.call('ZREM', cuts, last)
    at = last_at
  end
  redis.call('ZADD', cuts, at, revision)
end

-- Lets go of the cuts that no event from `start` on needs.
local function trim_cuts(cuts, start)
  local before = redis.call('ZCOUNT', cuts, '-inf', text(start))
  if before > 1 then
    redis.call('ZREMRANGEBYRANK', cuts, 0, before - 2)
  end
end

-- KEYS :cuts. Answers revision and offset of the last cut, or nothing.
local function taken(keys)
  return {last_cut(keys[1])}
end

-- KEYS :cuts. Answers revision and offset of each cut.
local function cuts_of(keys)
  local answer = redis.call('ZRANGE', keys[1], 0, -1, 'WITHSCORES')
  for i = 2, #answer, 2 do
    answer[i] = text(tonumber(answer[i]))
  end
  return answer
end

-- Lua's stack bounds how many arguments one call may have (8000); even, because some come in pairs.
local CALL_ARGUMENTS = 1000

-- Calls a command with the arguments from `first` to `last`, as often as their number needs.
local function call_with(command, key, args, first, last)
  for from = first, last, CALL_ARGUMENTS do
    redis.call(command, key, unpack(args, from, math.min(from + CALL_ARGUMENTS - 1, last)))
  end
end

-- Keeps `lowest` true for a lane that has changed.
local function note_lowest(progress, lowest, behind, name)
  local position = redis.call('HGET', progress, 'lane:' .. name)
  local first = redis.call('ZRANGE', behind, 0, 0, 'WITHSCORES')
  local low = first[2]
  if position ~= 'shared' and (not low or tonumber(position) < tonumber(low)) then
    low = position
  end
  if low then
    redis.call('ZADD', lowest, low, name)
  else
    redis.call('ZREM', lowest, name)
  end
end

-- One changed lane: ARGV from `at` on
--   name, position ('' as it was), pause ('' as it was, '-' none),
--   2 * n, n * (offset, key) that are behind,
--   2 * m, m * (key, retry state) of those of them that have failed,
--   l, the keys without a retry state, g, how many of these (the last) have caught up.
-- Answers where the next argument is.
local function change_lane(progress, lowest, behind, retry, args, at)
  local name, position, pause = args[at], args[at + 1], args[at + 2]
  if position == '' then
    redis.call('HSETNX', progress, 'lane:' .. name, 'shared')
  else
    redis.call('HSET', progress, 'lane:' .. name, position)
  end
  if pause == '-' then
    redis.call('HDEL', progress, 'paused:' .. name)
  elseif pause ~= '' then
    redis.call('HSET', progress, 'paused:' .. name, pause)
  end
  local first = at + 4
  local last = at + 3 + tonumber(args[at + 3])
  call_with('ZADD', behind, args, first, last)
  first, last = last + 2, last + 1 + tonumber(args[last + 1])
  call_with('HSET', retry, args, first, last)
  first, last = last + 2, last + 1 + tonumber(args[last + 1])
  call_with('HDEL', retry, args, first, last)
  call_with('ZREM', behind, args, last - tonumber(args[last + 1]) + 1, last)
  note_lowest(progress, lowest, behind, name)
  return last + 2
end

-- Keeps aside what is at an offset, and why. ARGV from `at` on: offset, reason.
local function quarantine(log, aside, args, at)
  local offset = args[at]
  redis.call('HSETNX', aside, offset, args[at + 1])
  local entry = entry_at(log, tonumber(offset))
  if entry then
    redis.call('HSETNX', aside, offset .. ':entry', entry)
  end
end

-- Leases and commits are what frees memory in the end: a full Redis has to take them.
redis.register_function{function_name = 'laneway_claim', callback = claim, flags = {'allow-oom'}}
redis.register_function{function_name = 'laneway_renew', callback = renew, flags = {'allow-oom'}}
redis.register_function{function_name = 'laneway_tenures', callback = tenures, flags = {'no-writes'}}
redis.register_function{function_name = 'laneway_taken', callback = taken, flags = {'no-writes'}}
redis.register_function{function_name = 'laneway_cuts', callback = cuts_of, flags = {'no-writes'}}
redis.register_function{function_name = 'laneway_release', callback = release, flags = {'allow-oom'}}
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

-- The first two lines of a dead letter: its event's id and key.
local function id_and_key(letter)
  return string.match(letter, '^([^\n]*)\n([^\n]*)\n')
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
    local event_id, key = id_and_key(letter)
    redis.call('HSET', dead.letters, name, table.concat({event_id, key, rest}, '\n'))
  end
end

-- The names behind `after` in one of the orders, at most `most`.
local function names_after(order, after, most)
  local from = after == '' and '-' or '(' .. after
  return redis.call('ZRANGE', order, from, '+', 'BYLEX', 'LIMIT', 0, most)
end

-- Those of the names that are of this event key and id, where given, and their letters.
local function selected(letters, names, key, id)
  local chosen, texts = {}, {}
  if #names == 0 then
    return chosen, texts
  end
  for i, letter in ipairs(redis.call('HMGET', letters, unpack(names))) do
    if letter then
      local of_id, of_key = id_and_key(letter)
      if (key == '' or key == of_key) and (id == '' or id == of_id) then
        chosen[#chosen + 1], texts[#texts + 1] = names[i], letter
      end
    end
  end
  return chosen, texts
end

-- KEYS an order (:dead:order or :dead:of:<name>), letters, requested, and from version 12 on :dead:events; ARGV after, how
-- many to look at, event key, event id ('': any). Answers the last name looked at ('': there are no more), and for each
-- selected one its name, its letter, whether its retry is asked for, and from version 12 on its event's type.
local function letters_with(keys, args, typed)
  local names = names_after(keys[1], args[1], args[2])
  local chosen, texts = selected(keys[2], names, args[3], args[4])
  local answer = {#names == tonumber(args[2]) and names[#names] or ''}
  for i, name in ipairs(chosen) do
    answer[#answer + 1] = name
    answer[#answer + 1] = texts[i]
    answer[#answer + 1] = redis.call('ZSCORE', keys[3], name) and 1 or 0
    if typed then
      answer[#answer + 1] = select(4, event_of({'e', redis.call('HGET', keys[4], name) or ''}))
    end
  end
  return answer
end

local function letters(keys, args)
  return letters_with(keys, args, false)
end

local function typed_letters(keys, args)
  return letters_with(keys, args, true)
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
  local chosen = selected(dead.letters, names, args[5], args[6])
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

-- KEYS requested, letters; ARGV most. Answers name and what it was ordered with of each dead letter
-- that someone wants retried, in order.
local function requested_letters(keys, args)
  local names = names_after(keys[1], '', args[1])
  local answer = {}
  if #names == 0 then
    return answer
  end
  for i, letter in ipairs(redis.call('HMGET', keys[2], unpack(names))) do
    if letter then
      answer[#answer + 1] = names[i]
      answer[#answer + 1] = string.match(letter, '^[^\n]*\n[^\n]*\n([^\n]*)\n')
    end
  end
  return answer
end

redis.register_function{function_name = 'laneway_dead_list', callback = letters, flags = {'no-writes'}}
redis.register_function{function_name = 'laneway_dead_typed', callback = typed_letters, flags = {'no-writes'}}
redis.register_function{function_name = 'laneway_dead_change_named', callback = change_named, flags = {'allow-oom'}}
redis.register_function{function_name = 'laneway_dead_change', callback = change_letters, flags = {'allow-oom'}}
redis.register_function{function_name = 'laneway_dead_requested', callback = requested_letters, flags = {'no-writes'}}
-- The history of attempts, for people. :history is a hash of what commits told, by place, and of their bytes (`bytes`);
-- :history:order is a sorted set of the places, by when the commit was made, in milliseconds. A place is the lease's
-- epoch and the commit's number in hexadecimal digits of one length, so that places are in order as texts, too.

-- Adds what a commit tells. The same again adds nothing. ARGV from `at` on: moment, place, what is told.
local function tell(history, order, args, at)
  if redis.call('HSETNX', history, args[at + 1], args[at + 2]) == 1 then
    redis.call('HINCRBY', history, 'bytes', #args[at + 2])
    redis.call('ZADD', order, args[at], args[at + 1])
  end
end

-- How many places are looked at together.
local PLACES_AT_ONCE = 64

-- A page. KEYS :history, :history:order; ARGV 'latest' or 'earliest' (what comes first), moment and place before or behind
-- which the records stand ('+inf' and '' for all), the most records, the most bytes beside the first record. Answers
-- moment, place, what was told.
local function history_page(keys, args)
  local back = args[1] == 'latest'
  local bound, most, room = tonumber(args[2]), tonumber(args[4]), tonumber(args[5])
  local answer, from = {}, 0
  while true do
    local found
    if back then
      found = redis.call(
        'ZREVRANGEBYSCORE', keys[2], args[2], '-inf', 'WITHSCORES', 'LIMIT', from, PLACES_AT_ONCE)
    else
      found = redis.call(
        'ZRANGEBYSCORE', keys[2], args[2], '+inf', 'WITHSCORES', 'LIMIT', from, PLACES_AT_ONCE)
    end
    for i = 1, #found, 2 do
      local place, at = found[i], tonumber(found[i + 1])
      local beyond = args[3] == '' or at ~= bound
      if not beyond then
        if back then beyond = place < args[3] else beyond = place > args[3] end
      end
      if beyond then
        local told = #answer < 3 * most and redis.call('HGET', keys[1], place)
        room = told and room - #told
        if not told or (room < 0 and #answer > 0) then
          return answer
        end
        answer[#answer + 1] = text(at)
        answer[#answer + 1] = place
        answer[#answer + 1] = told
      end
    end
    if #found < 2 * PLACES_AT_ONCE then
      return answer
    end
    from = from + PLACES_AT_ONCE
  end
end

-- Removes the oldest that are not kept. KEYS :history, :history:order; ARGV the moment from which on records are kept,
-- the most bytes, how many to remove at most. Answers how many were removed.
local function history_trim(keys, args)
  local since, most_bytes = tonumber(args[1]), tonumber(args[2])
  local bytes, gone, removed = tonumber(redis.call('HGET', keys[1], 'bytes') or 0), {}, 0
  local oldest = redis.call('ZRANGE', keys[2], 0, tonumber(args[3]) - 1, 'WITHSCORES')
  for i = 1, #oldest, 2 do
    if tonumber(oldest[i + 1]) >= since and bytes - removed <= most_bytes then
      break
    end
    removed = removed + redis.call('HSTRLEN', keys[1], oldest[i])
    gone[#gone + 1] = oldest[i]
  end
  if #gone > 0 then
    redis.call('HDEL', keys[1], unpack(gone))
    redis.call('ZREM', keys[2], unpack(gone))
    redis.call('HINCRBY', keys[1], 'bytes', -removed)
  end
  return #gone
end

-- KEYS :history, :history:order. Answers how many records there are, and how many bytes.
local function history_size(keys)
  return {redis.call('ZCARD', keys[2]), tonumber(redis.call('HGET', keys[1], 'bytes') or 0)}
end

redis.register_function{function_name = 'laneway_history_page', callback = history_page, flags = {'no-writes'}}
redis.register_function{function_name = 'laneway_history_trim', callback = history_trim, flags = {'allow-oom'}}
redis.register_function{function_name = 'laneway_history_size', callback = history_size, flags = {'no-writes'}}
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

-- Removes the keys behind of a replay.
local function clear_replay(behind, retry, id)
  local prefix = id .. ' '
  -- They stand by their offsets, and a replay that ends has none: this is for those that are cancelled.
  for _, member in ipairs(redis.call('ZRANGE', behind, 0, -1)) do
    if string.sub(member, 1, #prefix) == prefix then
      redis.call('ZREM', behind, member)
      redis.call('HDEL', retry, member)
    end
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
local function change_replay(own, behind, retry, args, at)
  local id, spec, ends, mark, count = args[at], args[at + 1], args[at + 2], args[at + 3], tonumber(args[at + 4])
  local first, next_one = at + 5, at + 5 + 3 * count
  if spec ~= '' and redis.call('HEXISTS', own, 'spec:' .. id) == 1 then
    clear_replay(behind, retry, id)
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

-- What a commit says of replays. Answers where the keys and the arguments go on. KEYS from `key` on: :replays, :replays:<name>, its :behind and :retry
-- of each dropped destination, and of each whose replays changed. ARGV from `at` on: how many are dropped, their names;
-- how many changed; of each its name, the number of its changed replays, and those.
local function commit_replays(lowest, keys, key, args, at)
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
      at = change_replay(keys[key + 1], keys[key + 2], keys[key + 3], args, at)
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
--      laneway_commit_replays what it says of replays, as commit_replays takes it; and what tell takes, if it does.
-- A call of library 6 has neither :cuts nor what is between the semicolons, and no lane's revision.
local function commit_as(keys, args, is_old, has_replays)
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
  if has_replays then
    key, at = commit_replays(lowest, keys, key, args, at)
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

-- One step of forgetting a destination. KEYS progress, :lowest, :behind:<name>, :retry:<name>,
-- :dead:of:<name>, those of dead_keys (5), lease (not in calls of library 10), those that drop_replays takes (not in calls
-- before version 12); ARGV destination, the most dead letters to remove. Answers whether there was anything, and whether
-- there is more.
local function forget(keys, args)
  local progress, name, most = keys[1], args[1], tonumber(args[2])
  local known = drop_lane(progress, keys[2], keys[3], keys[4], name)
  if keys[12] then
    known = known + drop_replays(keys[2], keys, 12, name)
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
redis.register_function{function_name = 'laneway_drop_letters', callback = drop_letters, flags = {'allow-oom'}}
redis.register_function{function_name = 'laneway_forget', callback = forget, flags = {'allow-oom'}}
redis.register_function{function_name = 'laneway_load_page', callback = load_page, flags = {'no-writes'}}
redis.register_function{function_name = 'laneway_load', callback = load_progress, flags = {'no-writes'}}
redis.register_function{function_name = 'laneway_load_behind', callback = load_behind, flags = {'no-writes'}}
-- The workers that share the store. Nothing that is safe to do depends on this.
--
--   {laneway}:workers sorted set: who is there, by until when (ms, server's time)
--   {laneway}:reports hash: what each says of itself
--   {laneway}:inbox:<worker> list: what others tell it, each as `<until (ms, server's time)> <message>`
--   {laneway}:answers:<question> hash: what each worker answers

-- KEYS workers, reports; ARGV worker, ttl (ms). Answers the ids of all that are there.
local function announce(keys, args)
  local now = now_ms()
  local gone = redis.call('ZRANGE', keys[1], '-inf', text(now), 'BYSCORE', 'LIMIT', 0, 1000)
  if #gone > 0 then
    redis.call('ZREM', keys[1], unpack(gone))
    redis.call('HDEL', keys[2], unpack(gone))
  end
  redis.call('ZADD', keys[1], text(now + tonumber(args[2])), args[1])
  return redis.call('ZRANGE', keys[1], '(' .. text(now), '+inf', 'BYSCORE')
end

-- KEYS workers, reports; ARGV worker, report. Nothing is left by a worker that is not there: nobody
-- would take it away.
local function report(keys, args)
  local till = redis.call('ZSCORE', keys[1], args[1])
  if till and tonumber(till) > now_ms() then
    redis.call('HSET', keys[2], args[1], args[2])
  end
  return redis.status_reply('OK')
end

-- KEYS workers, reports, :inbox:<worker> (not in calls of library 1); ARGV worker.
local function leave(keys, args)
  redis.call('ZREM', keys[1], args[1])
  redis.call('HDEL', keys[2], args[1])
  if keys[3] then
    redis.call('UNLINK', keys[3])
  end
  return redis.status_reply('OK')
end

-- KEYS workers. Answers the ids of all that are there.
local function present(keys)
  return redis.call('ZRANGE', keys[1], '(' .. text(now_ms()), '+inf', 'BYSCORE')
end

-- KEYS workers, :inbox:<to>; ARGV to, message, how long it is kept (ms), how many may wait. Answers 1,
-- or 0 if nobody is there to take it, or -1 if too many wait.
local function tell(keys, args)
  local now = now_ms()
  local till = redis.call('ZSCORE', keys[1], args[1])
  if not till or tonumber(till) <= now then
    return 0
  end
  if redis.call('LLEN', keys[2]) >= tonumber(args[4]) then
    return -1
  end
  redis.call('RPUSH', keys[2], text(now + tonumber(args[3])) .. ' ' .. args[2])
  -- For one that never comes to take them.
  redis.call('PEXPIRE', keys[2], args[3])
  return 1
end

-- KEYS :inbox:<worker>. Answers the messages whose time has not run out, and takes all away.
local function inbox(keys)
  local now, messages = now_ms(), {}
  for _, entry in ipairs(redis.call('LRANGE', keys[1], 0, -1)) do
    local space = string.find(entry, ' ', 1, true)
    if tonumber(string.sub(entry, 1, space - 1)) > now then
      messages[#messages + 1] = string.sub(entry, space + 1)
    end
  end
  redis.call('UNLINK', keys[1])
  return messages
end

-- KEYS :answers:<question>; ARGV worker, answer, how long the answers are kept (ms).
local function answer(keys, args)
  redis.call('HSET', keys[1], args[1], args[2])
  redis.call('PEXPIRE', keys[1], args[3])
  return redis.status_reply('OK')
end

-- KEYS :answers:<question>. Answers worker, answer of each, one after the other.
local function answers(keys)
  return redis.call('HGETALL', keys[1])
end

redis.register_function{function_name = 'laneway_announce', callback = announce, flags = {'allow-oom'}}
redis.register_function{function_name = 'laneway_report', callback = report, flags = {'allow-oom'}}
redis.register_function{function_name = 'laneway_leave', callback = leave, flags = {'allow-oom'}}
redis.register_function{function_name = 'laneway_present', callback = present, flags = {'no-writes'}}
redis.register_function{function_name = 'laneway_tell', callback = tell, flags = {'allow-oom'}}
redis.register_function{function_name = 'laneway_inbox', callback = inbox, flags = {'allow-oom'}}
redis.register_function{function_name = 'laneway_answer', callback = answer, flags = {'allow-oom'}}
redis.register_function{function_name = 'laneway_answers', callback = answers, flags = {'no-writes'}}
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

-- KEYS {laneway}:store, processes, processes:formats, workers; ARGV process, ttl (ms), statement. Answers two lists: of
-- each thing that it knows the version in which it may be written; and what each process says of itself that is there.
-- Refuses a process that does not understand what is there, or would not be understood.
local function attend(keys, args)
  local now, mine, stored = now_ms(), cjson.decode(args[3]), {}
  local fields = redis.call('HGETALL', keys[1])
  for at = 1, #fields, 2 do
    stored[fields[at]] = fields[at + 1]
  end
  if stored.restoring then
    return unfinished_restore()
  end
  local others = others_of(keys, args[1], now)
  local why = unfit_for_store(mine, stored)
  for name, other in pairs(others) do
    why = why or unfit_beside(mine, name, other)
  end
  if why then
    return redis.error_reply('LANEWAY_REFUSED ' .. why)
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
-- The tokens that are made over the HTTP interface, in a slot of their own.
--
--   {laneway:tokens}:book  hash: revision <of the last change>, book <all of them, as text>
--
-- They are one value, replaced as a whole: this knows no more of them than their revision, a whole number below 2^53.

-- KEYS book; ARGV the revision that is known. Answers the revision, the server's clock (µs), and the tokens unless they
-- are known ('' where there are none yet).
local function tokens_read(keys, args)
  local time = redis.call('TIME')
  local revision = redis.call('HGET', keys[1], 'revision') or '0'
  local answer = {revision, text(tonumber(time[1]) * 1000000 + tonumber(time[2]))}
  if revision ~= args[1] then
    answer[3] = redis.call('HGET', keys[1], 'book') or ''
  end
  return answer
end

-- KEYS book; ARGV the last revision that was seen, the new one, the tokens. Answers 1, or 0 if the last revision is
-- another. The same again is written again: that it is here is no evidence that replicas have it, and WAIT waits only
-- for what was written on its connection.
local function tokens_write(keys, args)
  local now = redis.call('HMGET', keys[1], 'revision', 'book')
  local is_same = now[1] == args[2] and now[2] == args[3]
  if not is_same and (now[1] or '0') ~= args[1] then
    return 0
  end
  redis.call('HSET', keys[1], 'revision', args[2], 'book', args[3])
  return 1
end

redis.register_function{function_name = 'laneway_tokens_read', callback = tokens_read, flags = {'no-writes'}}
-- A full Redis has to take it: a token that leaked has to be revoked.
redis.register_function{function_name = 'laneway_tokens_write', callback = tokens_write, flags = {'allow-oom'}}

-- The most bytes of entries that one call looks at before it is content with what it knows: about half
-- a millisecond of Redis' time. Only the last entry that it looks at can lead beyond.
local TRIM_LOOKS_AT_BYTES = 1048576

-- The first entry from the offset `from` on: its offset, when it was accepted (ms), and its size.
-- Nothing if there is none.
local function look_at(log, from)
  local entry = redis.call('XRANGE', log, entry_id(from), '+', 'COUNT', 1)[1]
  if entry then
    local bytes = entry[2][2] or ''
    return offset_of(entry[1]), number_at(bytes, ACCEPTED_AT, 8), #bytes
  end
end

-- Removes the log's oldest events when everyone has settled them. KEYS log, those that
-- settled_below takes, and :cuts (not in calls of library 6); ARGV accepted before (ms), how many at most. Answers how many were removed.
--
-- An entry's age is within its bytes, and there is no way to read a part of them. So few are looked
-- at: the oldest, then the last that might go, and then always the one half-way, for as long as the bytes allow. Those
-- in between are as old as their offsets say, but for what the clocks of those who took them in differ.
local function trim(keys, args)
  local log, before, most = keys[1], tonumber(args[1]), tonumber(args[2])
  local settled = settled_below(keys[2], keys[3])
  if settled == 0 or most == 0 then
    return 0
  end
  local first, accepted, looked_at = look_at(log, 0)
  if not first or first >= settled or accepted >= before then
    return 0
  end
  -- All up to `last` are old; what is at `young` and behind it is not, or may not go yet.
  local last, young = first, math.min(first + most, settled)
  local probe = young - 1
  while last < probe and looked_at < TRIM_LOOKS_AT_BYTES do
    local offset, at, bytes = look_at(log, probe)
    looked_at = looked_at + (bytes or 0)
    -- Behind a gap of offsets (a generation that ended) it is another one than was asked for: then there is none from
    -- `probe` on that may go.
    if offset and offset < young and at < before then
      last = offset
    else
      young = probe
    end
    probe = last + math.floor((young - last) / 2)
  end
  -- The stream stays when it is empty, and with it the last id that it gave out.
  local removed = redis.call('XTRIM', log, 'MINID', '=', entry_id(last + 1))
  if keys[4] then
    trim_cuts(keys[4], last + 1)
  end
  return removed
end

redis.register_function{function_name = 'laneway_trim', callback = trim, flags = {'allow-oom'}}
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
  if held[1] and held[1] ~= args[1] and tonumber(held[2] or '0') > now_ms() then
    return redis.error_reply('LANEWAY_REFUSED another restore is under way (' .. held[1] .. '): wait for its end, or end '
      .. 'it and try again half a minute later')
  end
  redis.call('HSET', keys[1], 'restoring', args[1], 'alive_until', text(now_ms() + RESTORING_FOR), 'schema', 'unfinished',
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
