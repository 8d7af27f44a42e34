-- Drops the token, if it is ARGV[1].
if redis.call('HGET', KEYS[1], 'token') == ARGV[1] then
    redis.call('DEL', KEYS[1])
end
return 1
