-- Decisions lie in the order in which they came: each of their random names is in an index of its own, small enough to stay
-- in memory, and the decision itself is written where the ones before it are.
CREATE TABLE decisions_in_order (
    id INTEGER PRIMARY KEY,
    ticket BLOB NOT NULL UNIQUE,
    scene TEXT NOT NULL UNIQUE,
    code BLOB UNIQUE,
    login TEXT,
    body TEXT NOT NULL,
    at INTEGER NOT NULL,
    claim_until INTEGER NOT NULL,
    redeemed INTEGER
) STRICT;
INSERT INTO decisions_in_order (ticket, scene, code, login, body, at, claim_until, redeemed)
    SELECT ticket, scene, code, login, body, at, claim_until, redeemed FROM decisions ORDER BY at;
DROP TABLE decisions;
ALTER TABLE decisions_in_order RENAME TO decisions;
CREATE INDEX decisions_by_end ON decisions (claim_until);

-- A family is one login's, and found by that.
DROP INDEX tokens_by_family;
