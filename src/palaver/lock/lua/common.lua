-- Shared by the scripts of the lock: put in where they say "include common.lua", behind the path that needs none of it.
--
-- KEYS[1] the lock: a plain string, the holder's token, always with a time to live
-- KEYS[2] the fence: the last one given out for this lock; outlives holders, but not for ever
-- KEYS[3] the queue: a sorted set of waiting tokens by their ticket (arrival in microseconds)
-- Beside the queue, in the same slot: ":awake" (token -> when it looks at the latest, in milliseconds) and ":wake:<token>"
-- (the list a waiter blocks on); beside the fence ":gone:<token>" (tokens that were released or given up).
--
-- Invariants: the lock is only ever written by one SET with PX, so that it cannot be left without an end; the lock
-- is never free while a living waiter is queued, save for the moment between an expiry and the next command.
local LOCK, FENCE, QUEUE = KEYS[1], KEYS[2], KEYS[3]
local AWAKE, WAKE, GONE = QUEUE .. ':awake', QUEUE .. ':wake:', FENCE .. ':gone:'
local SIGNAL_MS = 30000 -- how long an unread signal is kept
local LATE_MS = 3000    -- a waiter this late for its own check is taken for dead
local SLACK_MS = 20     -- a waiter that wakes this soon after an expiry needs no reminder
local TICK_MS = 100     -- the server ends a wait this late: it looks ten times a second

local function now_us()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function signal(token, message)
  redis.call('RPUSH', WAKE .. token, message)
  redis.call('PEXPIRE', WAKE .. token, SIGNAL_MS)
end

local function forget_waiter(token)
  redis.call('ZREM', QUEUE, token)
  redis.call('HDEL', AWAKE, token)
end

-- The first living waiter and when it looks at the latest; dead ones before it are dropped.
local function first_waiter(now_ms)
  while true do
    local first = redis.call('ZRANGE', QUEUE, 0, 0)[1]
    if not first then return nil end
    local awake_ms = tonumber(redis.call('HGET', AWAKE, first) or 0)
    if awake_ms + LATE_MS >= now_ms then return first, awake_ms end
    forget_waiter(first)
  end
end

-- Whoever holds the lock now may die: the first waiter must not sleep past the end of the hold.
local function remind(now_ms, ends_ms)
  local first, awake_ms = first_waiter(now_ms)
  if first and awake_ms > ends_ms + SLACK_MS then
    signal(first, 'look:' .. string.format('%.0f', ends_ms - now_ms + 1))
    redis.call('HSET', AWAKE, first, string.format('%.0f', ends_ms + 1))
  end
end

-- The lock goes to the first waiter for the claim time, within which it must confirm; or it is free.
local function hand_over(claim_ms)
  if redis.call('EXISTS', QUEUE) == 0 then
    redis.call('DEL', LOCK)
    return
  end
  local now_ms = math.floor(now_us() / 1000)
  local first = first_waiter(now_ms)
  if not first then
    redis.call('DEL', LOCK)
    return
  end
  forget_waiter(first)
  redis.call('SET', LOCK, first, 'PX', claim_ms)
  signal(first, 'yours')
  remind(now_ms, now_ms + claim_ms)
end
