-- Puts a list into the cache unless a newer one, or the mark of a newer change, is there.
-- KEYS: the list, its mark. ARGV: the list's position (32 hex digits), the list, seconds to live.
-- A list begins with {"position":" and its position: positions are compared as text.
local mark = redis.call('get', KEYS[2])
if mark and mark > ARGV[1] then
  return 0
end
if redis.call('getrange', KEYS[1], 13, 44) > ARGV[1] then
  return 0
end
redis.call('set', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
