-- Writes the next state of the ticket KEYS[1] if it still stands at the version ARGV[1].
if redis.call('HGET', KEYS[1], 'v') ~= ARGV[1] then
    return 0
end
redis.call('HSET', KEYS[1], 'v', ARGV[1] + 1, 't', ARGV[2])
return 1
