
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
