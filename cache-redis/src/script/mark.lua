-- Reads the mark of a tag, making one if there is none, and lets it live as long as an entry that carries it.
-- KEYS: the tag. ARGV: a new mark; how long in ms, 0 for ever.
local life = tonumber(ARGV[2])
local mark = redis.call('GET', KEYS[1])
if not mark then
  if life == 0 then
    redis.call('SET', KEYS[1], ARGV[1])
  else
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  end
  return ARGV[1]
end
local left = redis.call('PTTL', KEYS[1])
if left >= 0 and life == 0 then
  redis.call('PERSIST', KEYS[1])
elseif left >= 0 and left < life then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return mark
