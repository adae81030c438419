-- Leave nothing of an attempt: give the lock up if it is ours, leave the queue, and remember the token as gone, so that
-- an acquire that arrives after its caller gave up does nothing.
-- ARGV: token, gone ms, claim ms
-- Returns 1 released | 2 nothing of it holds the lock

-- include common.lua

local TOKEN = ARGV[1]
redis.call('SET', GONE .. TOKEN, 1, 'PX', ARGV[2])
redis.call('DEL', WAKE .. TOKEN)
forget_waiter(TOKEN)
if redis.call('GET', LOCK) == TOKEN then
  hand_over(ARGV[3])
  return 1
end
-- Whoever is first now did not know that it would be.
local left_ms = redis.call('PTTL', LOCK)
if left_ms > 0 and redis.call('EXISTS', QUEUE) == 1 then
  local now_ms = math.floor(now_us() / 1000)
  remind(now_ms, now_ms + left_ms)
end
return 2
