-- A node vouches for people until a while from now: those who came, those who are still there.
-- ARGV: node, milliseconds, the epoch that the node knows, then for each: user, online or away,
-- whether the node vouched for them before (1 or 0).
local node, lifetime, known = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local current = epoch()
for i = 4, #ARGV, 3 do
  local user, state, before = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if before == '1' and known ~= current then put_back(user) end
  local old = redis.call('HGET', place(user), 'n:' .. node)
  redis.call('ZADD', P .. 'expiry', now + lifetime, user .. ' ' .. node)
  if old ~= state then
    redis.call('HSET', place(user), 'n:' .. node, state)
    changed(user, now)
  end
end
return { current, next_due() }
