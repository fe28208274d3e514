-- The last device of people at a node went. ARGV: node, milliseconds until that is told (they may
-- come back before), the epoch that the node knows, then the users.
local node, grace, known = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local current = epoch()
for i = 4, #ARGV do
  local user = ARGV[i]
  if known ~= current then put_back(user) end
  redis.call('HDEL', place(user), 'n:' .. node)
  redis.call('ZREM', P .. 'expiry', user .. ' ' .. node)
  if state_of(place(user)) == 'offline' then
    redis.call('SET', P .. 'seen:' .. user, now, 'EX', SEEN)
  end
  changed(user, now + grace)
end
return { current, next_due() }
