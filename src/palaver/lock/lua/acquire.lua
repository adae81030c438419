-- Take the lock if it is free or already ours; else queue for it (mode "wait") or go away (mode "try").
-- ARGV: token, ttl ms, mode, claim ms, lowest fence, ticket
-- Returns {1, fence, 0} granted | {0, ms to wait at most, ticket} busy | {2, 0, 0} this token was given up before
-- | {3, ms to wait exactly, ticket} busy, and first in line when the hold ends by itself.
local TOKEN, TTL_MS = ARGV[1], ARGV[2]
local FENCE_MS = 86400000 -- how long a fence is remembered after its lease; longer than a process is stopped

-- The clock makes the fence grow even where the last one was lost; the last one, even where the clock was set back.
local function grant(last)
  local time = redis.call('TIME')
  local fence = math.max((last or 0) + 1, time[1] * 1000000 + time[2], ARGV[5] + 0)
  redis.call('SET', KEYS[1], TOKEN, 'PX', TTL_MS)
  redis.call('SET', KEYS[2], string.format('%.0f', fence), 'PX', FENCE_MS + TTL_MS)
  return {1, fence, 0}
end

local known = redis.call('MGET', KEYS[1], KEYS[2])
local holder, last = known[1], known[2]
if not holder and redis.call('EXISTS', KEYS[3], KEYS[2] .. ':gone:' .. TOKEN) == 0 then return grant(last) end

-- include common.lua

local MODE, CLAIM_MS, TICKET = ARGV[3], tonumber(ARGV[4]), ARGV[6]
local BEAT_MS = 12000  -- how often a waiter shows that it lives
local FOREIGN_MS = 100 -- another library's holder tells nobody when it releases

local function grant_waiter()
  local reply = grant(last)
  forget_waiter(TOKEN)
  redis.call('DEL', WAKE .. TOKEN)
  if redis.call('EXISTS', QUEUE) == 1 then
    local now_ms = math.floor(now_us() / 1000)
    remind(now_ms, now_ms + tonumber(TTL_MS))
  end
  return reply
end

if holder == TOKEN then return grant_waiter() end
if redis.call('EXISTS', GONE .. TOKEN) == 1 then return {2, 0, 0} end
local us = now_us()
if not holder then
  local first = first_waiter(math.floor(us / 1000))
  if not first or first == TOKEN then return grant_waiter() end
  hand_over(CLAIM_MS)
  holder = redis.call('GET', LOCK)
end

local left_ms = redis.call('PTTL', LOCK)
local wait_ms = BEAT_MS
if left_ms >= 0 then wait_ms = math.min(wait_ms, left_ms + 1) end
if MODE == 'try' then return {0, wait_ms, 0} end
if string.sub(holder, 1, 8) ~= 'palaver-' then wait_ms = math.min(wait_ms, FOREIGN_MS) end

local ticket = TICKET
if ticket == '0' then
  -- A newcomer looks once more after a claim time, so that a stopped waiter before it costs no more than that.
  ticket = string.format('%.0f', us)
  wait_ms = math.min(wait_ms, CLAIM_MS)
end
redis.call('ZADD', QUEUE, 'NX', ticket, TOKEN)
redis.call('HSET', AWAKE, TOKEN, string.format('%.0f', math.floor(us / 1000) + wait_ms))
redis.call('PEXPIRE', QUEUE, BEAT_MS * 2)
redis.call('PEXPIRE', AWAKE, BEAT_MS * 2)
local status = 0
if wait_ms == left_ms + 1 and redis.call('ZRANGE', QUEUE, 0, 0)[1] == TOKEN then status = 3 end
return {status, wait_ms, tonumber(ticket)}
