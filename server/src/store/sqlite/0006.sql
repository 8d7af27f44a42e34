-- A picture lies beside its ticket as it is: in JSON it would be a third longer, and be written and read twice over.
ALTER TABLE parked ADD COLUMN picture_type TEXT;
ALTER TABLE parked ADD COLUMN picture BLOB;
