-- Takes away what is kept under KEYS[1]: of many who ask, one gets it.
local kept = redis.call('GET', KEYS[1])
redis.call('DEL', KEYS[1])
return kept
