-- Charges all demands, or none. Answers what is left and, for each demand, where it was charged; or how long to wait in microseconds,
-- below zero.
local demands, wait, remaining = {}, 0, math.huge

-- How long to wait, and what would be left. Whoever takes nothing waits for nothing.
local function judge_rate(it)
  it.drained = math.max(tonumber(redis.call('HGET', it.key, it.field)) or 0, now) + it.window * it.cost
  local ahead, most = it.drained - now, it.window * (it.limit - it.spare)
  if it.cost > 0 and ahead > most then
    return ahead - most, 0
  end
  return 0, math.max(math.floor((most - ahead) / it.window), 0)
end

local function judge_window(it)
  local charged
  it.buckets, charged = read(it)
  local room = it.limit - it.spare - charged
  if it.cost == 0 or it.cost <= room then
    return 0, math.max(room - it.cost, 0)
  end
  local lacking = it.cost - room
  for _, bucket in ipairs(it.buckets) do
    lacking = lacking - bucket[2]
    if lacking <= 0 then
      return leaves(it, bucket[1]) - now, 0
    end
  end
  return it.window, 0
end

-- Returns the number of the bucket; of a rate, when all will have drained.
local function take(it)
  if it.bucket == 0 then
    redis.call('HSET', it.key, it.field, text(it.drained))
    keep(it, it.drained)
    return it.drained
  end
  local number = math.floor(now / it.bucket)
  local last = it.buckets[#it.buckets]
  -- A clock that went back would charge to a bucket that leaves too early; the latest one is the safe place.
  if last and last[1] >= number then
    last[2] = last[2] + it.cost
  else
    last = { number, it.cost }
    it.buckets[#it.buckets + 1] = last
  end
  write(it, it.buckets)
  return last[1]
end

for at = 1, #ARGV, 7 do
  local it = demand(at)
  local is_rate = it.bucket == 0
  local its_wait, left = (is_rate and judge_rate or judge_window)(it)
  local unsure = whole_since + (is_rate and it.window * it.limit or it.window) - now
  if unsure > 0 then
    its_wait, left = it.cost > 0 and math.max(its_wait, unsure) or 0, 0
  end
  wait, remaining = math.max(wait, its_wait), math.min(remaining, left)
  demands[#demands + 1] = it
end
if wait > 0 then
  return '-' .. text(wait)
end
local answer = { text(remaining) }
for _, it in ipairs(demands) do
  answer[#answer + 1] = it.cost > 0 and text(take(it)) or '0'
end
return table.concat(answer, ' ')
