
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

-- How far the clocks of those who take events in may differ (ms): laneway_domain::MAX_CLOCK_SKEW.
local MAX_CLOCK_SKEW = 60000

-- Up to which entry all may go where the time of the one at `first` lies ahead: later than `latest`. A clock was
-- wrong, and the entry is at least as old as the next one whose time does not lie ahead (Ages::behind in
-- domain/src/age.rs finds that in the same way). All up to that may go if it was accepted before `before`; nil if it
-- was not, or if there is none. It takes some fifty looks at most, whose bytes are not bounded: it happens only where
-- a clock was wrong.
local function last_old_behind(log, first, settled, before, latest)
  local low, high, last = first + 1, settled, nil
  while low < high do
    local middle = low + math.floor((high - low) / 2)
    local offset, at = look_at(log, middle)
    if offset and offset < high and at > latest then
      low = offset + 1
    else
      if offset and offset < high then
        last = at < before and offset or nil
      end
      high = middle
    end
  end
  return last
end

-- Removes the log's oldest events when everyone has settled them. KEYS log, those that
-- settled_below takes, and :cuts (not in calls of library 6); ARGV accepted before (ms), how many at most. Answers how
-- many were removed.
--
-- An entry's age is within its bytes, and there is no way to read a part of them. So few are looked at: the oldest,
-- then the last that might go, and then always the one half-way, for as long as the bytes allow. Those in between are
-- as old as their offsets say, but for what the clocks of those who took them in differ. One whose time lies ahead,
-- of this server's clock, says nothing: it goes with those that came after it, or it would hold them all until then.
local function trim(keys, args)
  local log, before, most = keys[1], tonumber(args[1]), tonumber(args[2])
  local settled = settled_below(keys[2], keys[3])
  if settled == 0 or most == 0 then
    return 0
  end
  local first, accepted, looked_at = look_at(log, 0)
  if not first or first >= settled then
    return 0
  end
  -- All up to `last` are old; what is at `young` and behind it is not, or may not go yet.
  local last, young = first, math.min(first + most, settled)
  if accepted >= before then
    local latest = now_ms() + MAX_CLOCK_SKEW
    local old = accepted > latest and last_old_behind(log, first, settled, before, latest)
    if not old then
      return 0
    end
    last = math.min(old, young - 1)
    young = last + 1
  end
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
