-- Give the lock up, if it is ours, to the first waiter. The token is remembered as gone for a while, so that a second
-- call whose first reply was lost is told so.
-- ARGV: token, gone ms, claim ms
-- Returns 1 released | 2 released before | -1 held by another | -2 held by nobody
local call, TOKEN = redis.call, ARGV[1]
local holder = call('GET', KEYS[1])
if holder == TOKEN and call('EXISTS', KEYS[3]) == 0 then
  call('SET', KEYS[2] .. ':gone:' .. TOKEN, 1, 'PX', ARGV[2])
  call('DEL', KEYS[1])
  return 1
end

-- include common.lua

if holder == TOKEN then
  redis.call('SET', GONE .. TOKEN, 1, 'PX', ARGV[2])
  hand_over(ARGV[3])
  return 1
end
if redis.call('EXISTS', GONE .. TOKEN) == 1 then return 2 end
if holder then return -1 end
return -2
