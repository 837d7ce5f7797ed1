-- A window is a field of its key's hash: 'number:charged' for each bucket that has something in it, oldest first. An exact one has
-- buckets of a microsecond. A rate has none, and is one number: when all that was charged will have drained.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
-- Since when this server has counted all that was admitted; always, unless somebody looks.
local whole_since = -math.huge

local function text(number)
  return string.format('%.0f', number)
end

-- The demand that begins at ARGV[at]: which of KEYS, field, cost, limit, window and bucket in microseconds, and how much it has to leave.
-- Of a rate the bucket is zero, and the window how long one unit takes to drain.
local function demand(at)
  return {
    key = KEYS[tonumber(ARGV[at])], field = ARGV[at + 1], cost = tonumber(ARGV[at + 2]),
    limit = tonumber(ARGV[at + 3]), window = tonumber(ARGV[at + 4]), bucket = tonumber(ARGV[at + 5]),
    spare = tonumber(ARGV[at + 6]),
  }
end

-- A bucket counts until its end is a whole window old.
local function leaves(it, number)
  return (number + 1) * it.bucket + it.window
end

-- The buckets that still count, and their sum.
local function read(it)
  local buckets, charged = {}, 0
  local stored = redis.call('HGET', it.key, it.field)
  for number, count in string.gmatch(stored or '', '(%d+):(%d+)') do
    number, count = tonumber(number), tonumber(count)
    if leaves(it, number) > now then
      buckets[#buckets + 1] = { number, count }
      charged = charged + count
    end
  end
  return buckets, charged
end

-- Lets a key live until this moment at least.
local function keep(it, moment)
  local life = math.ceil((moment - now) / 1000)
  if redis.call('PTTL', it.key) < life then
    redis.call('PEXPIRE', it.key, text(life))
  end
end

local function write(it, buckets)
  if #buckets == 0 then
    redis.call('HDEL', it.key, it.field)
    return
  end
  local parts = {}
  for at, bucket in ipairs(buckets) do
    parts[at] = text(bucket[1]) .. ':' .. text(bucket[2])
  end
  redis.call('HSET', it.key, it.field, table.concat(parts, ' '))
  keep(it, leaves(it, buckets[#buckets][1]))
end
