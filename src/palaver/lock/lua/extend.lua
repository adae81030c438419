-- Let our hold end the given time from now; never brings back a hold that has ended.
-- ARGV: token, ttl ms, fence ttl ms
-- Returns 1 extended | -1 held by another | -2 held by nobody
local holder = redis.call('GET', KEYS[1])
if holder ~= ARGV[1] then
  if holder then return -1 end
  return -2
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
if redis.call('EXISTS', KEYS[3]) == 0 then return 1 end

-- include common.lua

local now_ms = math.floor(now_us() / 1000)
remind(now_ms, now_ms + tonumber(ARGV[2]))
return 1
