-- Takes the buffer for one flusher, or adopts what a flusher left that died. By Redis' own clock, so
-- that it does not matter how the clocks of the nodes differ.
-- KEYS: the buffer, the claims by the end of their lease, when the buffer was last taken, the key
-- that the buffer shall have then. ARGV: the lease and the period in milliseconds, whether to take
-- the buffer even before the period is over ('1').
-- Returns the key of what was taken, or false.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local left = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 1)[1]
if left then
  redis.call('ZADD', KEYS[2], now + ARGV[1], left)
  return left
end
local last = tonumber(redis.call('GET', KEYS[3]) or '0')
-- A clock that was set back must not stop the flushing.
if ARGV[3] ~= '1' and last <= now and now - last < tonumber(ARGV[2]) then
  return false
end
if redis.call('EXISTS', KEYS[1]) == 0 then
  return false
end
redis.call('SET', KEYS[3], now)
redis.call('RENAME', KEYS[1], KEYS[4])
redis.call('ZADD', KEYS[2], now + ARGV[1], KEYS[4])
return KEYS[4]
