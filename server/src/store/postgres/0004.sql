-- The same names serve who looks for a person and who looks for a person in a group.
ALTER TABLE subs DROP CONSTRAINT subs_pkey, ADD PRIMARY KEY (person, group_name, appid, openid);
DROP INDEX subs_by_person;

-- What happens at every sign-in is found without an index.
DROP INDEX audit_by_what;
CREATE INDEX audit_by_what ON audit (what COLLATE "C", id) WHERE what NOT IN ('ticket.scanned', 'ticket.approved');
