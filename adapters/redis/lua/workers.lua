-- The workers that share the store. Nothing that is safe to do depends on this.
--
--   {laneway}:workers sorted set: who is there, by until when (ms, server's time)
--   {laneway}:reports hash: what each says of itself

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

-- KEYS workers, reports; ARGV worker.
local function leave(keys, args)
  redis.call('ZREM', keys[1], args[1])
  redis.call('HDEL', keys[2], args[1])
  return redis.status_reply('OK')
end

-- KEYS workers. Answers the ids of all that are there.
local function present(keys)
  return redis.call('ZRANGE', keys[1], '(' .. text(now_ms()), '+inf', 'BYSCORE')
end

redis.register_function{function_name = 'laneway_announce', callback = announce, flags = {'allow-oom'}}
redis.register_function{function_name = 'laneway_report', callback = report, flags = {'allow-oom'}}
redis.register_function{function_name = 'laneway_leave', callback = leave, flags = {'allow-oom'}}
redis.register_function{function_name = 'laneway_present', callback = present, flags = {'no-writes'}}
