-- Progress of a partition, and the lease that fences it. All of it is text that redis-cli shows:
--
--   :lease         hash: epoch; while somebody has the lease also worker, since and until (ms, server's time), and ttl
--                  (ms; from version 17 on), for how long it was asked for; setbacks, how often a position went back
--                  or a lane became another one (backup.lua); and former, who had it before, the latest first: a line
--                  of epoch, since, until, `over` (handed over) or `out` (ran out), and worker.
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
--
-- No lease lasts longer from now on than it was asked for, unless the clock went back: it was set, or a replica was
-- promoted whose clock is behind. Then it ends so long after now. A holder that lives renews it before that, and
-- nobody waits for one that is dead until the clock is there again. Of a lease from before version 17 nobody knows
-- for how long it was asked for: it is taken to be as long as the one that is asked for now, as it was in all
-- releases until then.
local function claim(keys, args)
  local lease, worker, ttl = keys[1], args[1], tonumber(args[2])
  local now = now_ms()
  local held = redis.call('HMGET', lease, 'worker', 'until', 'ttl')
  local ends = tonumber(held[2] or '0')
  if held[1] and held[1] ~= worker and ends > now then
    local latest = now + (tonumber(held[3] or '') or ttl)
    if ends > latest then
      redis.call('HSET', lease, 'until', text(latest))
    end
    return false
  end
  if held[1] then
    note_end(lease, math.min(ends, now), ends > now and 'over' or 'out')
  end
  local epoch = text(next_epoch(lease))
  redis.call('HSET', lease, 'epoch', epoch, 'worker', worker, 'since', text(now), 'until', text(now + ttl),
    'ttl', text(ttl))
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
  local ttl = tonumber(args[3])
  redis.call('HSET', keys[1], 'until', text(now_ms() + ttl), 'ttl', text(ttl))
  return redis.status_reply('OK')
end

-- KEYS lease; ARGV epoch, worker. The epoch stays.
local function release(keys, args)
  if not is_held(keys[1], args[1], args[2]) then
    return fenced()
  end
  note_end(keys[1], now_ms(), 'over')
  redis.call('HDEL', keys[1], 'worker', 'since', 'until', 'ttl')
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

-- Where the argument behind the change of a lane is that begins at `at`.
local function behind_lane(args, at)
  local last = at + 3 + tonumber(args[at + 3])
  for _ = 1, 2 do
    last = last + 1 + tonumber(args[last + 1])
  end
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
