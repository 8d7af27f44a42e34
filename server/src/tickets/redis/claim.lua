-- Notes the first claim KEYS[1] at ARGV[1] for ARGV[2] milliseconds, and says when it was.
redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])
return redis.call('GET', KEYS[1])
