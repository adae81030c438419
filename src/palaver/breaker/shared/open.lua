-- Opens the shared circuit, unless it is open for longer already. Ends the round and its probes.
-- KEYS: circuit, probes. ARGV: wait in ms, level, why, node, channel, life of the keys in ms.
-- Returns the epoch. It is a time, so that it grows also over a server that has lost its data.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local opens_until = now + tonumber(ARGV[1])
local held = redis.call('HMGET', KEYS[1], 'state', 'until', 'epoch', 'wait')
if held[1] == 'open' and math.min(tonumber(held[2]), now + tonumber(held[4])) >= opens_until then
  return held[3]
end
local epoch = math.max(now, tonumber(held[3] or 0) + 1)
redis.call('HSET', KEYS[1], 'state', 'open', 'until', opens_until, 'wait', ARGV[1], 'level', ARGV[2], 'why', ARGV[3],
  'node', ARGV[4], 'won', 0, 'epoch', epoch)
redis.call('PEXPIRE', KEYS[1], tonumber(ARGV[6]) + tonumber(ARGV[1]))
redis.call('DEL', KEYS[2])
redis.call('PUBLISH', ARGV[5], KEYS[1])
return tostring(epoch)
