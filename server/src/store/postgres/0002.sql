-- What happened, by the hour: no names but the sites'.
CREATE TABLE counts (
    hour BIGINT NOT NULL,
    site TEXT NOT NULL,
    what TEXT NOT NULL,
    -- Of times the upper bound of the step, in seconds; else 0.
    within BIGINT NOT NULL,
    n BIGINT NOT NULL,
    PRIMARY KEY (hour, site, what, within)
);

-- One-time links into the console.
CREATE TABLE console_links (
    hash BYTEA PRIMARY KEY,
    opens TEXT NOT NULL,
    until BIGINT NOT NULL
);

-- Operators' sessions in the console. One that came of a scan ends with its login.
CREATE TABLE console_sessions (
    hash BYTEA PRIMARY KEY,
    login TEXT REFERENCES logins (id) ON DELETE CASCADE,
    made BIGINT NOT NULL,
    seen BIGINT NOT NULL,
    until BIGINT NOT NULL
);
CREATE INDEX console_sessions_by_login ON console_sessions (login) WHERE login IS NOT NULL;

-- The console looks for one kind of line.
CREATE INDEX audit_by_what ON audit (what COLLATE "C", id);
