-- Take the lock if it is free or already ours; else queue for it (mode "wait") or go away (mode "try").
-- ARGV: token, lowest fence, ttl ms, fence ttl ms, mode, claim ms, ticket
-- Returns the fence if granted | {0, ms to wait at most, ticket} busy | {2, 0, 0} this token was given up before
-- | {3, ms to wait exactly, ticket} busy, and first in line when the hold ends by itself.
local call = redis.call
local TOKEN, LOWEST, TTL_MS, FENCE_MS = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local leave_queue

-- The path that nobody contends makes no function: that alone would cost the server more than one of its commands.
if call('EXISTS', KEYS[1], KEYS[3], KEYS[2] .. ':gone:' .. TOKEN) ~= 0 then

-- include common.lua

local MODE, CLAIM_MS, TICKET = ARGV[5], tonumber(ARGV[6]), ARGV[7]
local BEAT_MS = 12000  -- how often a waiter shows that it lives
local FOREIGN_MS = 100 -- another library's holder tells nobody when it releases

leave_queue = function()
  forget_waiter(TOKEN)
  redis.call('DEL', WAKE .. TOKEN)
  if redis.call('EXISTS', QUEUE) == 1 then
    local now_ms = math.floor(now_us() / 1000)
    remind(now_ms, now_ms + tonumber(TTL_MS))
  end
end

-- The reply for one that is not granted the lock now; nil for one that is.
local function refusal()
  local holder = redis.call('GET', LOCK)
  if holder == TOKEN then return nil end
  if redis.call('EXISTS', GONE .. TOKEN) == 1 then return {2, 0, 0} end
  local us = now_us()
  if not holder then
    local first = first_waiter(math.floor(us / 1000))
    if not first or first == TOKEN then return nil end
    hand_over(CLAIM_MS)
    holder = redis.call('GET', LOCK)
  end

  if MODE == 'try' then return {0, 0, 0} end
  local ticket, wait_ms = TICKET, BEAT_MS
  if string.sub(holder, 1, 8) ~= 'palaver-' then wait_ms = FOREIGN_MS end
  if ticket == '0' then
    -- A newcomer looks once more within a claim time, so that a stopped waiter before it costs no more than that.
    ticket = string.format('%.0f', us)
    wait_ms = math.min(wait_ms, math.max(CLAIM_MS - TICK_MS, math.floor(CLAIM_MS / 2)))
  end
  redis.call('ZADD', QUEUE, 'NX', ticket, TOKEN)

  -- The first in line takes over from a dead holder. A wait that might not be over when the hold is must be exact.
  local status, sleeps_ms, left_ms = 0, wait_ms + TICK_MS, redis.call('PTTL', LOCK)
  if left_ms >= 0 and left_ms < sleeps_ms then
    wait_ms = math.min(wait_ms, left_ms + 1)
    if redis.call('ZRANGE', QUEUE, 0, 0)[1] == TOKEN then
      status, wait_ms, sleeps_ms = 3, left_ms + 1, left_ms + 1
    end
  end
  redis.call('HSET', AWAKE, TOKEN, string.format('%.0f', math.floor(us / 1000) + sleeps_ms))
  redis.call('PEXPIRE', QUEUE, BEAT_MS * 2)
  redis.call('PEXPIRE', AWAKE, BEAT_MS * 2)
  return {status, wait_ms, tonumber(ticket)}
end

local refused = refusal()
if refused then return refused end

end

-- The clock makes the fence grow even where the last one was lost; the last one, even where the clock was set back.
-- It is kept for longer than the lease: as long as a process may be stopped and come back.
local time = call('TIME')
local fence = time[1] * 1000000 + time[2]
if fence < LOWEST + 0 then fence = LOWEST + 0 end
local last = call('SET', KEYS[2], fence, 'PX', FENCE_MS, 'GET')
if last and last + 0 >= fence then
  fence = last + 1
  call('SET', KEYS[2], fence, 'PX', FENCE_MS)
end
call('SET', KEYS[1], TOKEN, 'PX', TTL_MS)
if leave_queue then leave_queue() end
return fence
