
-- Removes the log's oldest events when everyone has settled them. KEYS log, and those that
-- settled_below takes; ARGV accepted before (ms), how many at most. Answers how many were removed.
local function trim(keys, args)
  local log, before, most = keys[1], tonumber(args[1]), tonumber(args[2])
  local settled = settled_below(keys[2], keys[3])
  if settled == 0 or most == 0 then
    return 0
  end
  local old = redis.call('XRANGE', log, '-', entry_id(settled - 1), 'COUNT', most)
  local count, last = 0, nil
  for _, entry in ipairs(old) do
    if number_at(entry[2][2] or '', ACCEPTED_AT, 8) >= before then
      break
    end
    count, last = count + 1, entry[1]
  end
  if not last then
    return 0
  end
  -- The stream stays when it is empty, and with it the last id that it gave out.
  return redis.call('XTRIM', log, 'MINID', '=', entry_id(offset_of(last) + 1))
end

redis.register_function{function_name = 'laneway_trim', callback = trim, flags = {'allow-oom'}}
