-- What all scripts of presence share. KEYS[1] is what every key begins with; the others are made
-- here, so presence wants one Redis and not a cluster of shards.
--
--   expiry       sorted set: "{user} {node}" by the moment until which the node vouches for it
--   edges        sorted set: users whose change has to be told, by the moment it is due
--   of:{user}    hash: n:{node} = online or away, for each node with a device of theirs;
--                told = what everybody was told last; v = the version of that, microseconds;
--                p = it is being told
--   seen:{user}  when they were last there, milliseconds
--   epoch        says which memory this is: another one after Redis came back empty
--   swept        when somebody last looked for what expired
--   quiet        until when nothing expires, because nobody could renew anything for a while
local P = KEYS[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local micros = clock[1] * 1000000 + clock[2]

-- 90 days.
local SEEN = 7776000

local function place(user)
  return P .. 'of:' .. user
end

-- What the devices of somebody amount to.
local function state_of(key)
  local state = 'offline'
  local fields = redis.call('HGETALL', key)
  for i = 1, #fields, 2 do
    if string.sub(fields[i], 1, 2) == 'n:' then
      if fields[i + 1] == 'online' then return 'online' end
      state = 'away'
    end
  end
  return state
end

-- Somebody changed: what was not told yet is due at a moment. What is being told comes up again
-- when that is done.
local function changed(user, due)
  local key = place(user)
  if redis.call('HEXISTS', key, 'p') == 1 then return end
  local state = state_of(key)
  if (redis.call('HGET', key, 'told') or 'offline') ~= state then
    redis.call('ZADD', P .. 'edges', due, user)
  else
    redis.call('ZREM', P .. 'edges', user)
    if state == 'offline' then redis.call('DEL', key) end
  end
end

-- In how many milliseconds the next change is due; -1 if there is none.
local function next_due()
  local first = redis.call('ZRANGE', P .. 'edges', 0, 0, 'WITHSCORES')
  if not first[2] then return -1 end
  return math.max(0, tonumber(first[2]) - now)
end

local function epoch()
  local known = redis.call('GET', P .. 'epoch')
  if not known then
    known = string.format('%.0f', micros)
    redis.call('SET', P .. 'epoch', known)
  end
  return known
end

-- A node knows somebody from a memory that is gone: what it had told is put back, so that it is
-- not told again.
local function put_back(user)
  local key = place(user)
  if redis.call('EXISTS', key) == 0 then
    redis.call('HSET', key, 'told', 'online', 'v', string.format('%.0f', micros))
  end
end
