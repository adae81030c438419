-- Gives the place of a probe back. Closes the shared circuit when enough of the fleet's probes have succeeded.
-- KEYS: circuit, probes. ARGV: probe id, 1 if it succeeded, successes needed, channel.
-- Returns 1 if the circuit is closed now, else 0.
local ours = redis.call('ZREM', KEYS[2], ARGV[1])
local state = redis.call('HGET', KEYS[1], 'state')
if not state then
  return 0
end
if state ~= 'open' then
  return 1
end
if ours == 0 or ARGV[2] ~= '1' then
  return 0
end
if redis.call('HINCRBY', KEYS[1], 'won', 1) < tonumber(ARGV[3]) then
  return 0
end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('HSET', KEYS[1], 'state', 'closed', 'epoch', math.max(now, tonumber(redis.call('HGET', KEYS[1], 'epoch')) + 1))
redis.call('DEL', KEYS[2])
redis.call('PUBLISH', ARGV[4], KEYS[1])
return 1
