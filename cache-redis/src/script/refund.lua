-- Takes charges out of where they were, which the last of ARGV say, one for each demand: the number of a bucket; of a rate, when all would
-- have drained, and if something has been charged to it since, that may have begun after this had drained.
local count = #ARGV / 8

local function refund_rate(it, drained)
  if tonumber(redis.call('HGET', it.key, it.field)) == drained then
    redis.call('HSET', it.key, it.field, text(drained - it.window * it.cost))
  end
end

local function refund_window(it, number)
  local buckets, kept, found = read(it), {}, false
  for _, bucket in ipairs(buckets) do
    if bucket[1] == number then
      bucket[2], found = math.max(bucket[2] - it.cost, 0), true
    end
    if bucket[2] > 0 then
      kept[#kept + 1] = bucket
    end
  end
  if found then
    write(it, kept)
  end
end

for at = 1, count do
  local it, mark = demand(7 * at - 6), tonumber(ARGV[7 * count + at])
  if it.bucket == 0 then
    refund_rate(it, mark)
  else
    refund_window(it, mark)
  end
end
return 0
