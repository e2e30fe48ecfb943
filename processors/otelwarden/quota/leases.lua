-- Leases for a batch of limits: what a process may spend of each until it asks again.
--
-- KEYS  one hash for each limit
-- ARGV  process, life of an entry in microseconds, then ten for each limit:
--       rate:   'r', tokens a second, burst, spent without a grant, released, wanted, held, demand a second,
--               1 when nothing was known of it before, debt
--       budget: 'b', amount, spent without a grant, released, wanted, held, largest item, used at least,
--               when it expires in milliseconds since the epoch, 0
--
-- Fields of a hash: `l` level and `t` time of a rate, `u` used of a budget, and for each process `p:<process>` with
-- "demand|held|seen|credit". Answers with the time in microseconds, then for each limit
-- { granted, level or used, share of a rate, processes, used before }, or { -1 } for a key that is somebody else's.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local me, life = 'p:' .. ARGV[1], tonumber(ARGV[2])

-- A number that somebody else wrote, or nil: no text, no infinity, nothing that is not a number, stops the script.
local function number(text)
  local found = tonumber(text)
  return found and found > -1e17 and found < 1e17 and found or nil
end

local function numbers(value)
  local demand, held, seen, credit = string.match(value, '^([^|]+)|([^|]+)|([^|]+)|([^|]+)$')
  demand, held, seen, credit = number(demand), number(held), number(seen), number(credit)
  if demand and held and seen and credit then
    return demand, held, seen, credit
  end
end

local function read(key)
  local reply = redis.pcall('HGETALL', key)
  if reply.err then
    return nil
  end
  local state = { count = 1, held = 0, demand = 0, demands = {}, others = {}, gone = {} }
  for i = 1, #reply, 2 do
    local field, value = reply[i], reply[i + 1]
    if field == me then
      local _, _, seen, credit = numbers(value)
      state.seen, state.credit = seen, credit
    elseif string.sub(field, 1, 2) == 'p:' then
      local demand, held, seen, credit = numbers(value)
      local silent = seen and now - seen
      if seen and math.abs(silent) < life then
        state.count = state.count + 1
        -- By now it has spent of that what it asks for.
        state.held = state.held + math.max(0, held - demand * silent / 1000000)
        state.demand = state.demand + demand
        table.insert(state.demands, demand)
        table.insert(state.others, { demand, silent / 1000000, credit })
      else
        table.insert(state.gone, field)
      end
    elseif field == 'l' or field == 't' or field == 'u' then
      state[field] = number(value)
    end
  end
  return state
end

local function write(key, state, demand, held, credit, ...)
  for _, field in ipairs(state.gone) do
    redis.call('HDEL', key, field)
  end
  redis.call('HSET', key, me, string.format('%.3f|%d|%d|%.6f', demand, held, now, credit), ...)
end

-- The share of a process: what it asks for, as long as all can have that; else the same for all that ask for more.
local function share_of(state, per_second, demand)
  local total = state.demand + demand
  if total <= per_second then
    return demand + (per_second - total) / state.count, nil
  end
  table.insert(state.demands, demand)
  table.sort(state.demands)
  local left, fair = per_second, per_second
  for i, each in ipairs(state.demands) do
    fair = left / (state.count - i + 1)
    if each >= fair then
      break
    end
    left = left - each
  end
  return math.min(demand, fair), fair
end

local function rate(key, at)
  local per_second, burst, spent = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local released, wanted, held = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5]), tonumber(ARGV[at + 6])
  local demand, debt = tonumber(ARGV[at + 7]), tonumber(ARGV[at + 9])
  local state = read(key)
  if not state then
    return { -1 }
  end
  local level = state.l
  if not level then
    -- After a restart that forgot everything, a limit that was in use is not full.
    level = ARGV[at + 8] == '1' and burst or 0
  elseif state.t and now > state.t then
    level = level + (now - state.t) / 1000000 * per_second
  end
  -- What processes hold comes out of the burst, so no stretch of time sees more than the burst and the rate.
  level = math.min(level + released, burst - state.held - held) - spent
  level = math.max(level, -burst - debt)
  local share, fair = share_of(state, per_second, demand)
  local elapsed = math.min(1, state.seen and (now - state.seen) / 1000000 or 0)
  local most_credit = math.max(1, share / 4)
  -- What was spent without a grant counts as granted: overdrawing gains nobody anything.
  local credit = math.min((state.credit or 0) + share * elapsed, most_credit) - (state.seen and spent or 0)
  credit = math.max(credit, -most_credit)
  local most = level
  if fair then
    -- What there is goes to all by what each is behind, so that nobody gains by asking first.
    local total = math.max(0, credit)
    for _, other in ipairs(state.others) do
      local its = math.min(other[1], fair)
      total = total + math.max(0, math.min(other[3] + its * other[2], math.max(1, its / 4)))
    end
    -- Where nobody is behind, nothing is left lying about; nor, by those who have all they ask for, most of the burst.
    most = total > 0 and level * math.max(0, credit) / total or level / state.count
    most = math.max(most, level - burst / 8)
    if most < 1 and level >= 1 and credit >= 1 and credit * state.count >= total * 0.999 then
      most = 1
    end
  end
  local granted = math.max(0, math.floor(math.min(wanted, most) + 0.000001))
  credit = credit - granted
  level = level - granted
  write(key, state, demand, held + granted, credit, 'l', string.format('%.6f', level), 't', string.format('%d', now))
  redis.call('PEXPIRE', key, math.max(60000, math.ceil((burst - level) / per_second * 1000) + 60000))
  return { granted, math.floor(level), string.format('%.6f', share), state.count, 0 }
end

local function budget(key, at)
  local amount, spent, released = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local wanted, held, largest = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5]), tonumber(ARGV[at + 6])
  local state = read(key)
  if not state then
    return { -1 }
  end
  local before = state.u or tonumber(ARGV[at + 7])
  local used = math.max(0, before + spent - released)
  local left = math.max(0, amount - used)
  -- The nearer the end, the smaller the grants, so that nobody sits on what others could use.
  local most = math.max(largest, math.floor(left / (2 * state.count)))
  local granted = math.max(0, math.min(wanted, left, most))
  used = used + granted
  write(key, state, 0, held + granted, 0, 'u', string.format('%d', used))
  redis.call('PEXPIREAT', key, tonumber(ARGV[at + 8]))
  return { granted, used, '0', state.count, before }
end

local answers = { now }
for i, key in ipairs(KEYS) do
  local at = 3 + (i - 1) * 10
  answers[i + 1] = ARGV[at] == 'r' and rate(key, at) or budget(key, at)
end
return answers
