-- What the user who calls this may not do here, of all that Laneway does (src/rights.rs).
--
-- Redis looks at the rights of the user before anything else, also within a function, and this one may not write: so each
-- command is tried, of a key that nobody has, and nothing comes of it.

-- The commands, by how many arguments they need at least beside their name and a key.
local COMMANDS = {
  [0] = {'DEL', 'EXISTS', 'GET', 'HGETALL', 'HLEN', 'LLEN', 'PTTL', 'SMEMBERS', 'UNLINK', 'XLEN', 'ZCARD'},
  [1] = {'HDEL', 'HEXISTS', 'HGET', 'HMGET', 'HSCAN', 'HSTRLEN', 'PEXPIRE', 'RPUSH', 'SADD', 'SET', 'SREM', 'XDEL', 'ZREM',
    'ZSCAN', 'ZSCORE'},
  [2] = {'HINCRBY', 'HSET', 'HSETNX', 'LRANGE', 'XRANGE', 'XTRIM', 'ZADD', 'ZCOUNT', 'ZRANGE', 'ZRANGEBYSCORE',
    'ZREMRANGEBYRANK', 'ZREVRANGEBYSCORE'},
  [3] = {'XADD'},
}

-- What Redis says of a user who may not: first 7.0, then later ones.
local function is_denied(answer, first, later)
  local why = type(answer) == 'table' and type(answer.err) == 'string' and answer.err or ''
  return string.find(why, first, 1, true) ~= nil or string.find(why, later, 1, true) ~= nil
end

-- ARGV what the store's keys begin with. Answers what is missing, as ACL SETUSER takes it. No KEYS: it can be called at
-- any node of a Cluster.
local function missing_rights(_, args)
  local missing, key = {}, '{' .. args[1] .. '}:rights'
  local function try(right, ...)
    if is_denied(redis.pcall(...), "can't run this command", 'permissions to run') then
      missing[#missing + 1] = right
    end
  end
  for count, commands in pairs(COMMANDS) do
    local more = {}
    for n = 1, count do
      more[n] = '0'
    end
    for _, command in ipairs(commands) do
      try('+' .. string.lower(command), command, key, unpack(more))
    end
  end
  try('+time', 'TIME')
  try('+xinfo|stream', 'XINFO', 'STREAM', key)
  try('+xread', 'XREAD', 'STREAMS', key, '0')
  table.sort(missing)
  for _, pattern in ipairs({'{' .. args[1] .. '}:*', '{' .. args[1] .. ':*}:*'}) do
    local example = string.gsub(pattern, '*', '0')
    if is_denied(redis.pcall('GET', example), "can't access at least one of the keys", 'permissions to access') then
      missing[#missing + 1] = '~' .. pattern
    end
  end
  return missing
end

redis.register_function{function_name = 'laneway_missing_rights', callback = missing_rights, flags = {'no-writes'}}
