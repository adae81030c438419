-- Reads the shared circuit. KEYS: circuit. Returns epoch, state, ms until probes may begin, level, why, node.
local held = redis.call('HMGET', KEYS[1], 'epoch', 'state', 'until', 'level', 'why', 'node', 'wait')
if not held[1] then
  return {}
end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local left = math.min(tonumber(held[3]) - now, tonumber(held[7])) -- no longer, should the clock have been set back
return {held[1], held[2], math.max(0, left), held[4], held[5], held[6]}
