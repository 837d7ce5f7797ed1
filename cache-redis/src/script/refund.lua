-- Takes charges out of their present buckets, as far as they are there. A rate has none: what it gave back might have been drained.
for at = 1, #ARGV, 6 do
  local it = demand(at)
  if it.bucket > 0 then
    local buckets = read(it)
    local last = buckets[#buckets]
    if last and last[1] == math.floor(now / it.bucket) then
      last[2] = last[2] - math.min(it.cost, last[2])
      if last[2] == 0 then
        buckets[#buckets] = nil
      end
      write(it, buckets)
    end
  end
end
return 0
