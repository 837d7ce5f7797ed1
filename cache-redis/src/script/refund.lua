-- Takes charges out again that are no older than the last of ARGV, in microseconds: the oldest first, so that nothing of others leaves
-- before its time. Of a rate, what cannot have drained since.
local age = tonumber(table.remove(ARGV))

local function refund_rate(it)
  local drained = tonumber(redis.call('HGET', it.key, it.field)) or 0
  drained = drained - math.max(it.window * it.cost - age, 0)
  if drained > now then
    redis.call('HSET', it.key, it.field, text(drained))
  else
    redis.call('HDEL', it.key, it.field)
  end
end

local function refund_window(it)
  local first, rest, kept = math.floor((now - age) / it.bucket), it.cost, {}
  for _, bucket in ipairs((read(it))) do
    if bucket[1] >= first then
      local returned = math.min(rest, bucket[2])
      bucket[2], rest = bucket[2] - returned, rest - returned
    end
    if bucket[2] > 0 then
      kept[#kept + 1] = bucket
    end
  end
  write(it, kept)
end

for at = 1, #ARGV, 6 do
  local it = demand(at)
  if it.bucket == 0 then
    refund_rate(it)
  else
    refund_window(it)
  end
end
return 0
