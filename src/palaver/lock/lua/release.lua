-- Give the lock up, if it is ours, to the first waiter. The token is remembered as gone for a while, so that a second
-- call whose first reply was lost is told so, and an acquire that arrives after its caller gave up does nothing.
-- ARGV: token, claim ms, gone ms, mode ("release" or "abandon": also leave the queue)
-- Returns 1 released | 2 released before | -1 held by another | -2 held by nobody
local TOKEN = ARGV[1]
if ARGV[4] == 'abandon' then redis.call('DEL', KEYS[3] .. ':wake:' .. TOKEN) end
local holder = redis.call('GET', KEYS[1])
if holder == TOKEN and redis.call('EXISTS', KEYS[3]) == 0 then
  redis.call('SET', KEYS[2] .. ':gone:' .. TOKEN, 1, 'PX', ARGV[3])
  redis.call('DEL', KEYS[1])
  return 1
end

-- include common.lua

if holder == TOKEN then
  redis.call('SET', GONE .. TOKEN, 1, 'PX', ARGV[3])
  hand_over(ARGV[2])
  return 1
end
if ARGV[4] == 'abandon' then
  forget_waiter(TOKEN)
  redis.call('SET', GONE .. TOKEN, 1, 'PX', ARGV[3])
end
if redis.call('EXISTS', GONE .. TOKEN) == 1 then return 2 end
if holder then return -1 end
return -2
