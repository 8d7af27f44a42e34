-- What grows old is found without reading what did long ago: a look that takes too long is given up.
CREATE INDEX audit_with_address ON audit (at) WHERE address IS NOT NULL;
CREATE INDEX logins_with_address ON logins (since) WHERE browser ->> 'address' <> '0.0.0.0';
CREATE INDEX logins_living ON logins (since) WHERE ended IS NULL;
CREATE INDEX logins_ended ON logins (ended) WHERE ended IS NOT NULL;
