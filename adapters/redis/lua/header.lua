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

local VERSION = 18
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
