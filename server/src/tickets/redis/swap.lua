-- Writes the next state of the ticket KEYS[1] if it still stands at the version ARGV[1]. From now on it lives ARGV[3]
-- milliseconds, and its picture KEYS[2] with it.
if redis.call('HGET', KEYS[1], 'v') ~= ARGV[1] then
    return 0
end
redis.call('HSET', KEYS[1], 'v', ARGV[1] + 1, 't', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return 1
