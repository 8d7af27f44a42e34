-- People are listed with those who came last first.
CREATE INDEX persons_by_since ON persons (since DESC, id);
