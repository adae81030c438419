-- Quorum only: make the fence known to this server too, if the token holds the lock here.
-- ARGV: token, fence, fence ttl ms. Returns 1 known here | 0 the token does not hold the lock here
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local last = tonumber(redis.call('GET', KEYS[2]) or 0)
if tonumber(ARGV[2]) > last then redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3]) end
return 1
