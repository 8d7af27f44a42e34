-- The token KEYS[1], how long it was good for, and how long it still is.
local held = redis.call('HMGET', KEYS[1], 'token', 'life')
if not held[1] then
    return nil
end
return { held[1], tonumber(held[2]), redis.call('PTTL', KEYS[1]) }
