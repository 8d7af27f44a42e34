-- Adds ARGV[1] to the counter KEYS[1], which forgets ARGV[2] milliseconds after it began; ARGV[3] is now.
local add, window, now = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local held = redis.call('HMGET', KEYS[1], 'until', 'n')
if held[1] and tonumber(held[1]) > now then
    local n = math.max(0, tonumber(held[2]) + add)
    redis.call('HSET', KEYS[1], 'n', n)
    return n
end
if add > 0 then
    redis.call('HSET', KEYS[1], 'until', string.format('%.0f', now + window), 'n', add)
    redis.call('PEXPIRE', KEYS[1], window)
    return add
end
return 0
