-- What is forgotten is found by itself.
CREATE INDEX consents_withdrawn ON consents (withdrawn) WHERE withdrawn IS NOT NULL;

-- Who asks at a door is shown to its owner without an address.
UPDATE admissions SET browser = jsonb_set(browser, '{address}', '"0.0.0.0"') WHERE browser IS NOT NULL;

-- The moment by which is forgotten what is old. A clock that is far ahead must not take all at once: what was written last
-- tells where time has come to.
CREATE TABLE upkeep (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    at BIGINT NOT NULL
);
INSERT INTO upkeep (one, at) SELECT 1, at FROM audit ORDER BY id DESC LIMIT 1;
