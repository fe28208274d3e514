-- Takes tokens out of a bucket. KEYS: the bucket. ARGV: microseconds for one token to come back, how
-- many there are when it is full, how many are wanted.
--
-- The bucket is one number, in microseconds of Redis' own clock: when it will be full again (GCRA's
-- theoretical arrival time). `bucket.rs` does the same, and is tested against this.
local interval, size, want = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local span = interval * size
local full = tonumber(redis.call('GET', KEYS[1]) or now)
-- Not before now; and never emptier than empty, should the clock or the limit have been set back.
full = math.min(math.max(full, now), now + span)
local there = math.floor((now + span - full) / interval)
local granted = math.min(want, there)
if granted > 0 then
  full = full + granted * interval
  redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000))
end
local left = there - granted
-- Until there is one more than what is left.
local next = 0
if left < size then
  next = full + (left + 1) * interval - now - span
end
return {granted, left, next, now}
