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
