-- What everybody was told last of people. KEYS[1] is what the keys of presence begin with (they are
-- described in command-api, `presence/scripts/common.lua`), ARGV the users. Returns for each: state
-- ('' if it is not known), version, when they were last there.
local P = KEYS[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local micros = string.format('%.0f', clock[1] * 1000000 + clock[2])
-- While the gateways put people back after Redis was away, who is not there may still come.
local swept = redis.call('GET', P .. 'swept')
local quiet = tonumber(redis.call('GET', P .. 'quiet') or 0)
local unsure = not swept or now < quiet
local answer = {}
for _, user in ipairs(ARGV) do
  local told = redis.call('HMGET', P .. 'of:' .. user, 'told', 'v')
  local state = told[1] or (unsure and '' or 'offline')
  -- Nothing is older than what is not known.
  local version = state == '' and '0' or told[2] or micros
  table.insert(answer, { state, version, redis.call('GET', P .. 'seen:' .. user) or '' })
end
return answer
