-- Nobody looks for decisions by their login.
DROP INDEX decisions_by_login;

-- A family is one login's, and found by that.
DROP INDEX tokens_by_family;
