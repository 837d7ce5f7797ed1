-- Charges all demands, or none. Answers what is left, or how long to wait in microseconds, below zero.
local demands, wait, remaining = {}, 0, math.huge
for at = 1, #ARGV, 6 do
  local it = demand(at)
  local charged
  it.buckets, charged = read(it)
  local room = math.max(it.limit - charged, 0)
  if it.cost <= room then
    remaining = math.min(remaining, room - it.cost)
  else
    local lacking = it.cost - room
    for _, bucket in ipairs(it.buckets) do
      lacking = lacking - bucket[2]
      if lacking <= 0 then
        wait = math.max(wait, leaves(it, bucket[1]) - now)
        break
      end
    end
  end
  demands[#demands + 1] = it
end
if wait > 0 then
  return '-' .. text(wait)
end
for _, it in ipairs(demands) do
  if it.cost > 0 then
    local number = math.floor(now / it.bucket)
    local last = it.buckets[#it.buckets]
    -- A clock that went back would charge to a bucket that leaves too early; the latest one is the safe place.
    if last and last[1] >= number then
      last[2] = last[2] + it.cost
    else
      it.buckets[#it.buckets + 1] = { number, it.cost }
    end
    write(it, it.buckets)
  end
end
return text(remaining)
