-- Puts a cursor into the buffer unless one that is as far is there: the newest wins.
-- KEYS: the buffer, the person's own cursors. ARGV: the field in the buffer, the cursor (32 hex
-- digits of its position first, which compare as text), the field among the person's own cursors
-- ('' if this is not about reading), how long those are kept in seconds.
-- Returns 1 if it is new, else 0.
local position = string.sub(ARGV[2], 1, 32)
if ARGV[3] ~= '' then
  local own = redis.call('HGET', KEYS[2], ARGV[3])
  if own and own >= position then
    return 0
  end
  redis.call('HSET', KEYS[2], ARGV[3], position)
  redis.call('EXPIRE', KEYS[2], ARGV[4])
end
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known and string.sub(known, 1, 32) >= position then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
