-- The right to fetch a token, KEYS[2], for ARGV[1] milliseconds. Its text is the moment: no two leases share one.
if redis.call('EXISTS', KEYS[2]) == 1 then
    return nil
end
local time = redis.call('TIME')
local lease = time[1] .. '.' .. time[2]
redis.call('SET', KEYS[2], lease, 'PX', ARGV[1])
return lease
