-- What is forgotten is found by itself. What a sign-in writes is in neither of these: no tap waits for them.
CREATE INDEX logins_ended ON logins (ended) WHERE ended IS NOT NULL;
CREATE INDEX consents_withdrawn ON consents (withdrawn) WHERE withdrawn IS NOT NULL;

-- Who asks at a door is shown to its owner without an address.
UPDATE admissions SET browser = json_set(browser, '$.address', '0.0.0.0') WHERE browser IS NOT NULL;

-- The moment by which is forgotten what is old. A clock that is far ahead must not take all at once: what was written last
-- tells where time has come to.
CREATE TABLE upkeep (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    at INTEGER NOT NULL
) STRICT;
INSERT INTO upkeep (one, at) SELECT 1, at FROM audit ORDER BY id DESC LIMIT 1;
