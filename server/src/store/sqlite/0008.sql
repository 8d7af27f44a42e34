-- Each index is a page that a tap has to write before it is safe. These go, or take fewer.

-- Decisions end in the order in which they lie, nearly.
DROP INDEX decisions_by_end;

-- The same names serve who looks for a person and who looks for a person in a group.
CREATE TABLE subs_of_people (
    person TEXT NOT NULL REFERENCES persons (id) ON DELETE CASCADE,
    group_name TEXT NOT NULL,
    appid TEXT NOT NULL DEFAULT '',
    openid TEXT NOT NULL DEFAULT '',
    sub TEXT NOT NULL,
    PRIMARY KEY (person, group_name, appid, openid)
) STRICT, WITHOUT ROWID;
INSERT INTO subs_of_people (person, group_name, appid, openid, sub)
    SELECT person, group_name, appid, openid, sub FROM subs ORDER BY person, group_name, appid, openid;
DROP TABLE subs;
ALTER TABLE subs_of_people RENAME TO subs;

-- Who comes is written at the end, not in front of everybody.
DROP INDEX persons_by_since;
CREATE INDEX persons_by_since ON persons (since, id DESC);

-- What happens at every sign-in is found without an index.
DROP INDEX audit_by_what;
CREATE INDEX audit_by_what ON audit (what, id) WHERE what NOT IN ('ticket.scanned', 'ticket.approved');
