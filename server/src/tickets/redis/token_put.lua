-- Keeps the token ARGV[2] and gives back the lease ARGV[1], if that still holds.
if redis.call('GET', KEYS[2]) ~= ARGV[1] then
    return 0
end
redis.call('HSET', KEYS[1], 'token', ARGV[2], 'life', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('DEL', KEYS[2])
return 1
