-- What happened, by the hour: no names but the sites'.
CREATE TABLE counts (
    hour INTEGER NOT NULL,
    site TEXT NOT NULL,
    what TEXT NOT NULL,
    -- Of times the upper bound of the step, in seconds; else 0.
    within INTEGER NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (hour, site, what, within)
) STRICT, WITHOUT ROWID;

-- One-time links into the console.
CREATE TABLE console_links (
    hash BLOB PRIMARY KEY,
    opens TEXT NOT NULL,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Operators' sessions in the console. One that came of a scan ends with its login.
CREATE TABLE console_sessions (
    hash BLOB PRIMARY KEY,
    login TEXT REFERENCES logins (id) ON DELETE CASCADE,
    made INTEGER NOT NULL,
    seen INTEGER NOT NULL,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX console_sessions_by_login ON console_sessions (login) WHERE login IS NOT NULL;

-- The console looks for one kind of line.
CREATE INDEX audit_by_what ON audit (what, id);
