-- Forgets those whose node did not renew its word. ARGV: how many at most, the lifetime of a word,
-- how long nobody may have swept before all nodes get a chance to renew first, and how long that
-- chance is; all in milliseconds. Any node may run this at any time.
local most, lifetime = tonumber(ARGV[1]), tonumber(ARGV[2])
local gap, chance = tonumber(ARGV[3]), tonumber(ARGV[4])
local last = tonumber(redis.call('GET', P .. 'swept') or 0)
redis.call('SET', P .. 'swept', now)
if now - last > gap then redis.call('SET', P .. 'quiet', now + chance) end
if now < tonumber(redis.call('GET', P .. 'quiet') or 0) then return { 0, next_due() } end
local dead = redis.call('ZRANGEBYSCORE', P .. 'expiry', '-inf', now, 'WITHSCORES', 'LIMIT', 0, most)
for i = 1, #dead, 2 do
  local user, node = string.match(dead[i], '^(%S+) (.+)$')
  redis.call('ZREM', P .. 'expiry', dead[i])
  redis.call('HDEL', place(user), 'n:' .. node)
  if state_of(place(user)) == 'offline' then
    redis.call('SET', P .. 'seen:' .. user, tonumber(dead[i + 1]) - lifetime, 'EX', SEEN)
  end
  changed(user, now)
end
return { #dead / 2, next_due() }
