-- People, and the WeChat identities that are theirs.
CREATE TABLE persons (
    id TEXT PRIMARY KEY,
    username TEXT NOT NULL UNIQUE,
    nickname TEXT,
    avatar_type TEXT,
    avatar BLOB,
    avatar_version INTEGER NOT NULL DEFAULT 0,
    since INTEGER NOT NULL,
    blocked INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE identities (
    appid TEXT NOT NULL,
    openid TEXT NOT NULL,
    unionid TEXT,
    person TEXT NOT NULL REFERENCES persons (id) ON DELETE CASCADE,
    PRIMARY KEY (appid, openid)
) STRICT, WITHOUT ROWID;
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
) STRICT, WITHOUT ROWID;
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
    browser TEXT NOT NULL,
    -- The hash of the browser's cookie, by which it is known again.
    cookie BLOB,
    -- The signed-in session, where the person chose to be remembered.
    session BLOB,
    session_until INTEGER,
    since INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    ended INTEGER
) STRICT;
CREATE INDEX logins_by_person ON logins (person, since);
CREATE INDEX logins_by_session ON logins (session) WHERE session IS NOT NULL;

-- What a phone decided, once and for ever; the page claims it and the site redeems it.
CREATE TABLE decisions (
    ticket BLOB PRIMARY KEY,
    scene TEXT NOT NULL UNIQUE,
    code BLOB UNIQUE,
    login TEXT,
    body TEXT NOT NULL,
    at INTEGER NOT NULL,
    claim_until INTEGER NOT NULL,
    redeemed INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX decisions_by_end ON decisions (claim_until);
CREATE INDEX decisions_by_login ON decisions (login) WHERE login IS NOT NULL;

CREATE TABLE tokens (
    hash BLOB PRIMARY KEY,
    kind TEXT NOT NULL,
    login TEXT NOT NULL REFERENCES logins (id) ON DELETE CASCADE,
    scopes TEXT NOT NULL,
    made INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tokens_by_login ON tokens (login);
CREATE INDEX tokens_by_end ON tokens (expires);

-- Tokens with which the mini program's own pages ask about their person; they cannot approve.
CREATE TABLE phones (
    token BLOB PRIMARY KEY,
    appid TEXT NOT NULL,
    openid TEXT NOT NULL,
    unionid TEXT,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX phones_by_end ON phones (expires);

CREATE TABLE signing_keys (
    kid TEXT PRIMARY KEY,
    alg TEXT NOT NULL,
    made INTEGER NOT NULL,
    private BLOB NOT NULL
) STRICT;

CREATE TABLE server_secrets (
    name TEXT PRIMARY KEY,
    secret BLOB NOT NULL
) STRICT;

-- Tickets that waited when the server was stopped; taken up again at the start.
CREATE TABLE parked (
    body BLOB NOT NULL
) STRICT;

CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    what TEXT NOT NULL,
    person TEXT,
    site TEXT,
    address TEXT,
    detail TEXT NOT NULL
) STRICT;
CREATE INDEX audit_by_person ON audit (person) WHERE person IS NOT NULL;
CREATE INDEX audit_by_time ON audit (at);
