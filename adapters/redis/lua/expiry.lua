-- What of destinations has expired (they had waited for as long as they may). It came with version 15 of the library.
--
--   :expiry   hash: per destination <born> <expired> <again_below> <again_since ms>: how many events expired, and from when
--             on the waiting of those below an offset counts
--
-- A process that does not know it leaves it as it is. What is said of a destination that was made at another revision
-- than its lane counts for nothing.

-- What a commit says of it. Answers where the keys and the arguments go on. KEYS at `key`: :expiry. ARGV from `at` on: how
-- many destinations are dropped, their names; how many changed; of each its name and <expired> <again_below>
-- <again_since>, or '' where the lane only goes on under another revision.
local function commit_expiry(progress, keys, key, args, at)
  local expiry, dropped = keys[key], tonumber(args[at])
  at = at + 1
  for _ = 1, dropped do
    redis.call('HDEL', expiry, args[at])
    at = at + 1
  end
  local changed = tonumber(args[at])
  at = at + 1
  for _ = 1, changed do
    local name, said = args[at], args[at + 1]
    if said == '' then
      said = string.match(redis.call('HGET', expiry, name) or '', '^%d+ (.+)$')
    end
    if said then
      redis.call('HSET', expiry, name, (redis.call('HGET', progress, 'born:' .. name) or '0') .. ' ' .. said)
    end
    at = at + 2
  end
  return key + 1, at
end

-- One page of it. KEYS progress, :expiry; ARGV where HSCAN goes on ('0' to begin), how many. Answers the number of commits
-- so far, where HSCAN goes on ('0' when it is through), and names and what is said of each (one may come twice).
local function load_expiry(keys, args)
  local page = redis.call('HSCAN', keys[2], args[1], 'COUNT', args[2])
  return {redis.call('HGET', keys[1], 'commits') or '0', page[1], page[2]}
end

redis.register_function{function_name = 'laneway_load_expiry', callback = load_expiry, flags = {'no-writes'}}
