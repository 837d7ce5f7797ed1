-- A lease is 'fence end since', the end and the moment from which that counts in microseconds of the server's time. It is kept for a
-- while after its end, so that the next number is larger even if the clock that it comes from is set back, or that of a new primary is
-- behind. Where that has happened while it was held, its length counts from the first one on who asks for it: its holder may be dead,
-- and the end as it stands an hour away.
-- KEYS: the lease. ARGV: what to do; how long to hold in microseconds; how long to keep after that in ms; the fence.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local hold, keep = tonumber(ARGV[2]), tonumber(ARGV[3])
local fence, finish, since = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+) (%d+) ?(%d*)$')
since = tonumber(since) or 0
local is_held = finish and tonumber(finish) > now

local function put(number, ends)
  local life = math.ceil(math.max(ends - now, 0) / 1000) + keep
  local text = string.format('%s %.0f %.0f', number, ends, now)
  return redis.pcall('SET', KEYS[1], text, 'PX', string.format('%.0f', life))
end

if ARGV[1] == 'acquire' then
  if is_held then
    local answer = now < since and put(fence, now + tonumber(finish) - since)
    return answer and answer.err and answer or false
  end
  local number = now
  if fence and tonumber(fence) >= number then
    number = tonumber(fence) + 1
  end
  number = string.format('%.0f', number)
  local answer = put(number, now + hold)
  return answer.err and answer or number
end
if not is_held or fence ~= ARGV[4] then
  return false
end
if ARGV[1] == 'renew' then
  local answer = put(fence, now + hold)
  return answer.err and answer or fence
end
-- A server whose memory is full writes nothing, and removes all the same. Whoever waits for the lease is worth more than the number, which
-- matters only where a clock is set back.
if put(fence, 0).err then
  redis.call('UNLINK', KEYS[1])
end
return fence
