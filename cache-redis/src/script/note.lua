-- Says what stands under the name of an entry: its length and its last eight bytes. Where nothing does, or what is no
-- string, it puts a placeholder.
-- KEYS: the entry. ARGV: a placeholder; how long to keep it in ms.
local key, placeholder, life = KEYS[1], ARGV[1], tonumber(ARGV[2])
local length = redis.pcall('STRLEN', key)
if type(length) ~= 'number' or length == 0 then
  redis.call('SET', key, placeholder, 'PX', ARGV[2])
  return { #placeholder, string.sub(placeholder, -8) }
end
if length == #placeholder and redis.call('GETRANGE', key, 0, -9) == string.sub(placeholder, 1, -9) then
  -- Of somebody else, who will not mind that it is kept for us too.
  local left = redis.call('PTTL', key)
  if left >= 0 and left < life then
    redis.call('PEXPIRE', key, ARGV[2])
  end
end
return { length, redis.call('GETRANGE', key, -8, -1) }
