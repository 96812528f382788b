-- A grant may get another token; the one before opens the same for a while. Of both only hashes are here.
ALTER TABLE grants ADD COLUMN rotated_at INTEGER;
ALTER TABLE grants ADD COLUMN previous BLOB;
ALTER TABLE grants ADD COLUMN previous_until INTEGER;
