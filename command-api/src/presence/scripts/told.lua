-- Changes were told. ARGV: milliseconds until a departure is told, then for each: user, version.
-- What changed meanwhile comes up again; what was told by somebody else since is theirs.
local grace = tonumber(ARGV[1])
for i = 2, #ARGV, 2 do
  local key = place(ARGV[i])
  if redis.call('HGET', key, 'v') == ARGV[i + 1] then
    redis.call('HDEL', key, 'p')
    changed(ARGV[i], state_of(key) == 'offline' and now + grace or now)
  end
end
return next_due()
