-- Writes a value if the present one is that which was read.
-- KEYS: the entry. ARGV: its length; its last eight bytes; the new value, empty to remove; its life in ms, 0 for ever.
local key = KEYS[1]
if redis.call('STRLEN', key) ~= tonumber(ARGV[1]) or redis.call('GETRANGE', key, -8, -1) ~= ARGV[2] then
  return 0
end
if ARGV[3] == '' then
  redis.call('UNLINK', key)
elseif ARGV[4] == '0' then
  redis.call('SET', key, ARGV[3])
else
  redis.call('SET', key, ARGV[3], 'PX', ARGV[4])
end
return 1
