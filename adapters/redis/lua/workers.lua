-- The workers that share the store. Nothing that is safe to do depends on this.
--
--   {laneway}:workers sorted set: who is there, by until when (ms, server's time)
--   {laneway}:reports hash: what each says of itself
--   {laneway}:inbox:<worker> list: what others tell it, each as `<until (ms, server's time)> <message>`
--   {laneway}:answers:<question> hash: what each worker answers

-- How many of those whose time ends too late are mended by one call; the next ones go on.
local MENDED_AT_ONCE = 1000

-- Nobody says to be there for longer than `ttl` from now on, unless the clock went back (it was set, or a replica was
-- promoted whose clock is behind): then whoever has died meanwhile would be there until it has come as far again.
-- Those that live say so anew, long before. Should a release say to be there for longer, its time is cut to that of
-- the others while they run beside it, which does no harm as long as that is longer than it takes to say so again.
local function mend_times(register, now, ttl)
  local latest = text(now + ttl)
  for _, name in ipairs(redis.call('ZRANGE', register, '(' .. latest, '+inf', 'BYSCORE', 'LIMIT', 0, MENDED_AT_ONCE)) do
    redis.call('ZADD', register, latest, name)
  end
end

-- KEYS workers, reports; ARGV worker, ttl (ms). Answers the ids of all that are there.
local function announce(keys, args)
  local now = now_ms()
  mend_times(keys[1], now, tonumber(args[2]))
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
