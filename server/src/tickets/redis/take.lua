-- Takes away the ticket KEYS[1] and its picture KEYS[2] if it stands at the version ARGV[1], or at any where that is empty.
local found = redis.call('HMGET', KEYS[1], 'v', 't')
if not found[1] or (ARGV[1] ~= '' and found[1] ~= ARGV[1]) then
    return nil
end
redis.call('DEL', KEYS[1], KEYS[2])
return found[2]
