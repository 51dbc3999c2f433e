-- The tokens that are made over the HTTP interface, in a slot of their own.
--
--   {laneway:tokens}:book  hash: revision <of the last change>, book <all of them, as text>
--
-- They are one value, replaced as a whole: this knows no more of them than their revision, a whole number below 2^53.

-- KEYS book; ARGV the revision that is known. Answers the revision, the server's clock (µs), and the tokens unless they
-- are known ('' where there are none yet).
local function tokens_read(keys, args)
  local time = redis.call('TIME')
  local revision = redis.call('HGET', keys[1], 'revision') or '0'
  local answer = {revision, text(tonumber(time[1]) * 1000000 + tonumber(time[2]))}
  if revision ~= args[1] then
    answer[3] = redis.call('HGET', keys[1], 'book') or ''
  end
  return answer
end

-- KEYS book; ARGV the last revision that was seen, the new one, the tokens. Answers 1, or 0 if the last revision is
-- another. The same again is written again: that it is here is no evidence that replicas have it, and WAIT waits only
-- for what was written on its connection.
local function tokens_write(keys, args)
  local now = redis.call('HMGET', keys[1], 'revision', 'book')
  local is_same = now[1] == args[2] and now[2] == args[3]
  if not is_same and (now[1] or '0') ~= args[1] then
    return 0
  end
  redis.call('HSET', keys[1], 'revision', args[2], 'book', args[3])
  return 1
end

redis.register_function{function_name = 'laneway_tokens_read', callback = tokens_read, flags = {'no-writes'}}
-- A full Redis has to take it: a token that leaked has to be revoked.
redis.register_function{function_name = 'laneway_tokens_write', callback = tokens_write, flags = {'allow-oom'}}
