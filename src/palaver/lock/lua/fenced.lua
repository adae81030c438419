-- Run one write only if no newer fence was seen, neither for the key nor by the lock itself.
-- KEYS[1] the key written, KEYS[2] its guard: the newest fence that wrote it,
-- KEYS[3] where the lock's last fence is, if it lives in the same slot.
-- ARGV: fence, guard ttl ms, then the command's arguments, which WRITE uses from ARGV[3] on
-- Returns {1, the command's reply} | {0, the newest fence seen, as text}
local FENCE = tonumber(ARGV[1])
local newest = tonumber(redis.call('GET', KEYS[2]) or 0)
if KEYS[3] then newest = math.max(newest, tonumber(redis.call('GET', KEYS[3]) or 0)) end
if newest > FENCE then return {0, string.format('%.0f', newest)} end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
