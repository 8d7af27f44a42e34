-- Tells every node to look again at the ticket ARGV[1]; ARGV[2] names the node that says so. KEYS[2] counts: whoever hears
-- a number that does not follow the last has missed some.
local n = redis.call('INCR', KEYS[2])
redis.call('XADD', KEYS[1], 'MAXLEN', '~', 16384, '*', 'n', n, 'ticket', ARGV[1], 'by', ARGV[2])
return n
