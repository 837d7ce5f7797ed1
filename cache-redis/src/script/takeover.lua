-- Whether this server has counted all that counts. Not if it has taken over from another one, which may have admitted what it never
-- told, and not if it has forgotten everything. The last of KEYS says who counts, by its replication id, and since when: that is
-- replicated, so whoever takes over finds the id of the one before. The last of ARGV is how long processes may take to notice that somebody
-- counts again, who have gone by something else meanwhile.
local grace = tonumber(table.remove(ARGV))
local here = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
local counts, began = string.match(redis.call('GET', KEYS[#KEYS]) or '', '^(%x+) (%d+)$')
if counts == here then
  whole_since = tonumber(began) + grace
else
  whole_since = now + grace
  redis.call('SET', KEYS[#KEYS], here .. ' ' .. text(now))
end
-- Kept for longer than any window, as a server that does not find it distrusts itself.
local YEAR = 366 * 86400000
if redis.call('PTTL', KEYS[#KEYS]) < YEAR then
  redis.call('PEXPIRE', KEYS[#KEYS], text(2 * YEAR))
end
