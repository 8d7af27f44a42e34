-- Statements ask for a field of JSON in the words that PostgreSQL has too; an index serves what is asked in its own words.
DROP INDEX audit_of_nobody;
CREATE INDEX audit_of_nobody ON audit (detail ->> 'ticket') WHERE person IS NULL AND what = 'ticket.scanned';
