-- Takes changes that are due, to tell them: nobody else gets them for the length of a lease. One
-- whose teller died comes up again. ARGV: how many at most, the lease in milliseconds. Returns
-- when the next is due, then for each: user, state, version, when they were last there.
local most, lease = tonumber(ARGV[1]), tonumber(ARGV[2])
local answer = { 0 }
for _, user in ipairs(redis.call('ZRANGEBYSCORE', P .. 'edges', '-inf', now, 'LIMIT', 0, most)) do
  local key = place(user)
  local state = state_of(key)
  local told = redis.call('HGET', key, 'told') or 'offline'
  if told == state and redis.call('HEXISTS', key, 'p') == 0 then
    redis.call('ZREM', P .. 'edges', user)
    if state == 'offline' then redis.call('DEL', key) end
  else
    local version = math.max(micros, tonumber(redis.call('HGET', key, 'v') or 0) + 1)
    version = string.format('%.0f', version)
    redis.call('HSET', key, 'told', state, 'v', version, 'p', '1')
    redis.call('ZADD', P .. 'edges', now + lease, user)
    table.insert(answer, user)
    table.insert(answer, state)
    table.insert(answer, version)
    table.insert(answer, redis.call('GET', P .. 'seen:' .. user) or '')
  end
end
answer[1] = next_due()
return answer
