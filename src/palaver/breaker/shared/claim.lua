-- Takes one place of the fleet's probe budget.
-- KEYS: circuit, probes. ARGV: probe id, lease in ms, budget of the round, how many at once.
-- Returns 1 if the place is ours, 0 if there is none, 2 if the circuit is closed, 3 if nothing is known of it.
local held = redis.call('HMGET', KEYS[1], 'state', 'until', 'won', 'wait')
if not held[1] then
  return 3
end
if held[1] ~= 'open' then
  return 2
end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local lease = tonumber(ARGV[2])
if tonumber(held[2]) > now + tonumber(held[4]) then -- the server's clock was set back: wait once more, not until then
  redis.call('HSET', KEYS[1], 'until', now + tonumber(held[4]))
  return 0
end
if now < tonumber(held[2]) then
  return 0
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '(' .. now + lease, '+inf') -- no lease is that long: set back, as above
local busy = redis.call('ZCARD', KEYS[2])
if busy >= tonumber(ARGV[4]) or busy + tonumber(held[3]) >= tonumber(ARGV[3]) then
  return 0
end
redis.call('ZADD', KEYS[2], now + lease, ARGV[1])
redis.call('PEXPIRE', KEYS[2], lease * 2)
return 1
