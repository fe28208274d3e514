-- Takes out of a claim what was appended, and renews its lease; the claim ends with its last entry.
-- KEYS: the claim, the claims by the end of their lease. ARGV: the lease in milliseconds, the fields.
-- Returns how many entries are left.
for i = 2, #ARGV do
  redis.call('HDEL', KEYS[1], ARGV[i])
end
local left = redis.call('HLEN', KEYS[1])
if left == 0 then
  redis.call('ZREM', KEYS[2], KEYS[1])
else
  local time = redis.call('TIME')
  redis.call('ZADD', KEYS[2], time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[1], KEYS[1])
end
return left
