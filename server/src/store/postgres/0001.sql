-- People, and the WeChat identities that are theirs.
CREATE TABLE persons (
    id TEXT PRIMARY KEY,
    username TEXT NOT NULL UNIQUE,
    nickname TEXT,
    avatar_type TEXT,
    avatar BYTEA,
    avatar_version BIGINT NOT NULL DEFAULT 0,
    since BIGINT NOT NULL,
    blocked BOOLEAN NOT NULL DEFAULT FALSE,
    -- A JSON list of the groups that the operator put the person in.
    groups JSONB NOT NULL DEFAULT '[]'
);

CREATE TABLE identities (
    appid TEXT NOT NULL,
    openid TEXT NOT NULL,
    unionid TEXT,
    person TEXT NOT NULL REFERENCES persons (id) ON DELETE CASCADE,
    PRIMARY KEY (appid, openid)
);
CREATE INDEX identities_by_unionid ON identities (unionid) WHERE unionid IS NOT NULL;
CREATE INDEX identities_by_person ON identities (person);

-- Who a person is to a group of sites. Usually one row a person and group (appid and openid empty); where two people
-- turned out to be one and a group knew both, the other's identity keeps the name under which it is known.
CREATE TABLE subs (
    group_name TEXT NOT NULL,
    person TEXT NOT NULL REFERENCES persons (id) ON DELETE CASCADE,
    appid TEXT NOT NULL DEFAULT '',
    openid TEXT NOT NULL DEFAULT '',
    sub TEXT NOT NULL,
    PRIMARY KEY (group_name, person, appid, openid)
);
CREATE INDEX subs_by_person ON subs (person);

-- One sign-in of a person at a site.
CREATE TABLE logins (
    id TEXT PRIMARY KEY,
    person TEXT NOT NULL REFERENCES persons (id) ON DELETE CASCADE,
    site TEXT NOT NULL,
    group_name TEXT NOT NULL,
    sub TEXT NOT NULL,
    scopes TEXT NOT NULL,
    appid TEXT NOT NULL,
    openid TEXT NOT NULL,
    browser JSONB NOT NULL,
    -- The hash of the browser's cookie, by which it is known again.
    cookie BYTEA,
    -- The signed-in session, where the person chose to be remembered.
    session BYTEA,
    session_until BIGINT,
    since BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    ended BIGINT
);
CREATE INDEX logins_by_person ON logins (person, since);
CREATE INDEX logins_by_session ON logins (session) WHERE session IS NOT NULL;

-- What a phone decided, once and for ever; the page claims it and the site redeems it.
CREATE TABLE decisions (
    ticket BYTEA PRIMARY KEY,
    scene TEXT NOT NULL UNIQUE,
    code BYTEA UNIQUE,
    login TEXT,
    body JSONB NOT NULL,
    at BIGINT NOT NULL,
    claim_until BIGINT NOT NULL,
    redeemed BIGINT
);
CREATE INDEX decisions_by_end ON decisions (claim_until);
CREATE INDEX decisions_by_login ON decisions (login) WHERE login IS NOT NULL;

CREATE TABLE tokens (
    hash BYTEA PRIMARY KEY,
    kind TEXT NOT NULL,
    login TEXT NOT NULL REFERENCES logins (id) ON DELETE CASCADE,
    scopes TEXT NOT NULL,
    -- All that came of one code: revoked together where one of them is used twice.
    family BYTEA NOT NULL,
    since BIGINT NOT NULL,
    made BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    -- When a refresh token gave the next; it stays, so that a second use is noticed.
    used BIGINT
);
CREATE INDEX tokens_by_family ON tokens (family);
CREATE INDEX tokens_by_login ON tokens (login);
CREATE INDEX tokens_by_end ON tokens (expires);

-- Tokens with which the mini program's own pages ask about their person; they cannot approve.
CREATE TABLE phones (
    token BYTEA PRIMARY KEY,
    appid TEXT NOT NULL,
    openid TEXT NOT NULL,
    unionid TEXT,
    expires BIGINT NOT NULL
);
CREATE INDEX phones_by_end ON phones (expires);

-- What a person let a site know, kind by kind, and to which wording; withdrawn ones stay for a while as proof.
CREATE TABLE consents (
    person TEXT NOT NULL REFERENCES persons (id) ON DELETE CASCADE,
    site TEXT NOT NULL,
    kind TEXT NOT NULL,
    text TEXT NOT NULL,
    given BIGINT NOT NULL,
    withdrawn BIGINT,
    PRIMARY KEY (person, site, kind, text, given)
);

CREATE TABLE signing_keys (
    kid TEXT PRIMARY KEY,
    alg TEXT NOT NULL,
    made BIGINT NOT NULL,
    signs_from BIGINT NOT NULL,
    private BYTEA NOT NULL,
    UNIQUE (alg, signs_from)
);

-- Sites that commands registered; those of the settings are not here.
CREATE TABLE sites (
    id TEXT PRIMARY KEY,
    body JSONB NOT NULL
);

-- Counts what commands change, so that running nodes look again.
CREATE TABLE revision (
    n BIGINT NOT NULL
);
INSERT INTO revision VALUES (0);

-- Logins that ended and whose sites have not been told yet (OpenID Connect Back-Channel Logout).
CREATE TABLE logouts (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    login TEXT NOT NULL,
    site TEXT NOT NULL,
    sub TEXT NOT NULL,
    ended BIGINT NOT NULL,
    tries BIGINT NOT NULL DEFAULT 0,
    next BIGINT NOT NULL
);
CREATE INDEX logouts_by_next ON logouts (next);

CREATE TABLE server_secrets (
    name TEXT PRIMARY KEY,
    secret BYTEA NOT NULL
);

-- Tickets that waited when the server was stopped; taken up again at the start.
CREATE TABLE parked (
    body BYTEA NOT NULL
);

CREATE TABLE audit (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at BIGINT NOT NULL,
    what TEXT NOT NULL,
    person TEXT,
    site TEXT,
    address TEXT,
    detail JSONB NOT NULL
);
CREATE INDEX audit_by_person ON audit (person) WHERE person IS NOT NULL;
CREATE INDEX audit_by_time ON audit (at);
-- Scans by somebody who was nobody yet: their first approval gives them a name.
CREATE INDEX audit_of_nobody ON audit ((detail ->> 'ticket')) WHERE person IS NULL AND what = 'ticket.scanned';

-- People are listed with those who came last first.
CREATE INDEX persons_by_since ON persons (since DESC, id);

-- What stands between a person and a site: asked, admitted or refused. No row: nothing has been said.
CREATE TABLE admissions (
    person TEXT NOT NULL REFERENCES persons (id) ON DELETE CASCADE,
    site TEXT NOT NULL,
    word TEXT NOT NULL,
    at BIGINT NOT NULL,
    -- The browser that asked.
    browser JSONB,
    PRIMARY KEY (person, site)
);
CREATE INDEX admissions_asked ON admissions (at DESC) WHERE word = 'asked';

-- One-time links that wait to be opened; only hashes of their secrets.
CREATE TABLE links (
    hash BYTEA PRIMARY KEY,
    gives JSONB NOT NULL,
    made_by TEXT NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX links_by_end ON links (expires);
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
