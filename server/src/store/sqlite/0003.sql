-- What stands between a person and a site: asked, admitted or refused. No row: nothing has been said.
CREATE TABLE admissions (
    person TEXT NOT NULL REFERENCES persons (id) ON DELETE CASCADE,
    site TEXT NOT NULL,
    word TEXT NOT NULL,
    at INTEGER NOT NULL,
    -- The browser that asked, as JSON.
    browser TEXT,
    PRIMARY KEY (person, site)
) STRICT, WITHOUT ROWID;
CREATE INDEX admissions_asked ON admissions (at DESC) WHERE word = 'asked';

-- One-time links that wait to be opened; only hashes of their secrets.
CREATE TABLE links (
    hash BLOB PRIMARY KEY,
    gives TEXT NOT NULL,
    made_by TEXT NOT NULL,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX links_by_end ON links (expires);
